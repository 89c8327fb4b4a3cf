package http1

import (
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2/hpack"
)

// Source is where the body of a request comes from.
type Source interface {
	// Receive reads some of it; io.EOF: that was all.
	Receive(p []byte) (int, error)
	// Trailers are the fields behind it. It is asked once Receive has reported io.EOF.
	Trailers() []hpack.HeaderField
	// Answered reports whether the answer is complete, so that the rest of the body is
	// nobody's.
	Answered() bool
}

// Target is what a request asks for, as the pseudo fields of HTTP/2 and HTTP/3 say it.
type Target struct {
	Method, Scheme, Host, Path string
}

// Request is a request as HTTP/1.1 has it: a head, and a body that is as long
// as its Content-Length says, or comes in chunks.
type Request struct {
	Head   bool  // it is a HEAD
	Sized  bool  // it comes in chunks, although its Length is known: for the handler it is to be set
	Length int64 // its Content-Length; -1: none

	src   Source
	text  *[]byte // what is ready to be read, from at on; of texts
	at    int
	body  bodyKind
	ended bool // the body has
}

// chunkedFrom is the length from which a body that fasthttp is to collect comes to it in
// chunks: it makes room for a length at once, and one connection may announce a hundred of
// them, and send a byte of each.
const chunkedFrom = 64 << 10

// HasBody reports whether a body follows the head.
func (q *Request) HasBody() bool { return q.body != noBody }

type bodyKind uint8

const (
	noBody bodyKind = iota
	plainBody
	chunkedBody
)

var texts = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// Begin writes the head: of a request for t with these fields, which are lower case, and
// of which a host is t's. ended: no body follows. fs is whom it is for. False: it is
// malformed (RFC 9113, 8.1.1, and RFC 9114, 4.1.2).
func (q *Request) Begin(fs *fasthttp.Server, src Source, t Target, fields []hpack.HeaderField, ended bool) bool {
	q.src, q.Length = src, -1
	q.text = texts.Get().(*[]byte)
	*q.text = (*q.text)[:0]
	for i := range fields {
		if fields[i].Name != "host" {
			continue
		}
		if t.Host != "" && t.Host != fields[i].Value {
			return false
		}
		t.Host = fields[i].Value
	}
	if !t.valid() {
		return false
	}
	if t.Method == "CONNECT" {
		t.Path = t.Host
	}
	q.Head = t.Method == "HEAD"
	b := append(append(*q.text, t.Method...), ' ')
	b = append(append(b, t.Path...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, t.Host...), "\r\n"...)
	var cookies []string
	trailed, form, expects := false, false, false
	for i := range fields {
		name, value := fields[i].Name, fields[i].Value
		switch name {
		case "host":
			continue
		case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
			return false
		case "te":
			if value != "trailers" {
				return false
			}
		case "content-length":
			n, err := strconv.ParseUint(value, 10, 63)
			if err != nil || q.Length >= 0 {
				return false
			}
			q.Length = int64(n)
			continue
		case "cookie":
			cookies = append(cookies, value)
			continue
		case "trailer":
			trailed = true
		case "content-type":
			form = strings.HasPrefix(value, "multipart/form-data")
		case "expect":
			expects = true
		}
		b = appendField(b, name, value)
	}
	if cookies != nil {
		b = appendField(b, "cookie", strings.Join(cookies, "; "))
	}
	q.Sized = !trailed && collects(fs, q.Length, form, expects)
	switch {
	case q.Length >= 0 && !trailed && !q.Sized:
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), q.Length, 10), "\r\n"...)
		if q.Length > 0 {
			q.body = plainBody
		}
	case !ended:
		q.body = chunkedBody
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	*q.text = append(b, "\r\n"...)
	return true
}

// collects reports whether fasthttp would make room for a body of that length, before it
// has come. It does not for one that is too long, a form that it takes apart as it comes,
// or a stream. A hook that is asked before the body comes is to see its length.
func collects(fs *fasthttp.Server, length int64, form, expects bool) bool {
	most := int64(fs.MaxRequestBodySize)
	if most <= 0 {
		most = fasthttp.DefaultMaxRequestBodySize
	}
	return length >= chunkedFrom && length <= most && !fs.StreamRequestBody && fs.HeaderReceived == nil &&
		!(form && !fs.DisablePreParseMultipartForm) && !(expects && (fs.ContinueHandler != nil || fs.ExpectHandler != nil))
}

// valid reports whether what is asked for can stand in the first lines of HTTP/1.1, and
// is read there as it was meant.
func (t *Target) valid() bool {
	if !httpguts.ValidHeaderFieldName(t.Method) || !httpguts.ValidHostHeader(t.Host) {
		return false
	}
	switch {
	case t.Method == "CONNECT":
		return t.Scheme == "" && t.Path == "" && t.Host != ""
	case t.Scheme != "http" && t.Scheme != "https":
		return false
	case t.Path == "*":
		return t.Method == "OPTIONS"
	}
	unfit := func(r rune) bool { return r <= ' ' || r == 0x7f }
	return strings.HasPrefix(t.Path, "/") && !strings.ContainsFunc(t.Path, unfit)
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

// TooLong makes of a head that was cut short, for it was too long, one that is too long
// for fasthttp as well, by so many bytes.
func (q *Request) TooLong(by int) {
	b := (*q.text)[:len(*q.text)-len("\r\n")]
	b = append(b, "x: "...)
	b = append(b, make([]byte, by)...)
	*q.text = append(b, "\r\n\r\n"...)
}

// Read is what fasthttp reads.
func (q *Request) Read(p []byte) (int, error) {
	if n := q.ready(p); n > 0 || len(p) == 0 {
		return n, nil
	}
	switch {
	case q.body == noBody || q.ended:
		return 0, io.EOF
	case q.src.Answered():
		// It is answered, and fasthttp would like to see the end of what nobody has
		// asked for: the client is told to keep it.
		return 0, io.ErrUnexpectedEOF
	case q.body == plainBody:
		return q.src.Receive(p)
	}
	return q.chunk(p)
}

// ready copies out what is there.
func (q *Request) ready(p []byte) int {
	if q.text == nil {
		return 0
	}
	n := copy(p, (*q.text)[q.at:])
	if q.at += n; q.at == len(*q.text) {
		q.Release()
	}
	return n
}

// Release gives back what is left of the head. It may be called again.
func (q *Request) Release() {
	if q.text == nil {
		return
	}
	if cap(*q.text) <= 64<<10 {
		texts.Put(q.text)
	}
	q.text, q.at = nil, 0
}

// The frame of a chunk: its size, and line ends.
const (
	chunkSize = len("0000\r\n")
	chunkEnd  = len("\r\n")
	chunkMost = 0xffff
)

// chunk reads some of the body, as a chunk, or what comes behind the last.
func (q *Request) chunk(p []byte) (int, error) {
	if len(p) <= chunkSize+chunkEnd { // by way of a text
		text := texts.Get().(*[]byte)
		*text = append((*text)[:0], make([]byte, 512)...)
		n, err := q.chunk(*text)
		if n == 0 {
			texts.Put(text)
			return 0, err
		}
		*text = (*text)[:n]
		q.text = text
		return q.ready(p), nil
	}
	n, err := q.src.Receive(p[chunkSize:min(len(p)-chunkEnd, chunkSize+chunkMost)])
	switch {
	case n > 0:
		const digits = "0123456789abcdef"
		for i := range 4 {
			p[i] = digits[n>>(12-4*i)&15]
		}
		copy(p[4:], "\r\n")
		return chunkSize + n + copy(p[chunkSize+n:], "\r\n"), nil
	case err != io.EOF:
		return 0, err
	}
	q.ended = true
	var trailers []hpack.HeaderField
	if !q.Sized { // behind a length there are none
		trailers = q.src.Trailers()
	}
	q.text = texts.Get().(*[]byte)
	*q.text = appendTrailers(append((*q.text)[:0], "0\r\n"...), trailers)
	return q.ready(p), nil
}

func appendTrailers(b []byte, trailers []hpack.HeaderField) []byte {
	for i := range trailers {
		b = appendField(b, trailers[i].Name, trailers[i].Value)
	}
	return append(b, "\r\n"...)
}
