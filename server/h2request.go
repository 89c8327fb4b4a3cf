//go:build linux && (amd64 || arm64)

package server

import (
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// request is a stream's request as HTTP/1.1 has it: a head, and a body that is as long
// as its Content-Length says, or comes in chunks.
type request struct {
	st    *stream
	text  *[]byte // what is ready to be read, from at on; of texts
	at    int
	head  bool // it is a HEAD
	body  bodyKind
	sized bool // in chunks, although its length is known
	ended bool // the body has
}

// chunkedFrom is the length from which a body that fasthttp is to collect comes to it in
// chunks: it makes room for a length at once, and one connection may announce a hundred of
// them, and send a byte of each.
const chunkedFrom = 64 << 10

type bodyKind uint8

const (
	noBody bodyKind = iota
	plainBody
	chunkedBody
)

var texts = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// begin writes the head. False: f is malformed (RFC 9113, 8.1.1).
func (q *request) begin(f *http2.MetaHeadersFrame) bool {
	q.text = texts.Get().(*[]byte)
	*q.text = (*q.text)[:0]
	var method, scheme, path, host string
	for _, hf := range f.PseudoFields() {
		switch hf.Name {
		case ":method":
			method = hf.Value
		case ":scheme":
			scheme = hf.Value
		case ":path":
			path = hf.Value
		case ":authority":
			host = hf.Value
		default:
			return false
		}
	}
	fields := f.RegularFields()
	for i := range fields {
		if fields[i].Name != "host" {
			continue
		}
		if host != "" && host != fields[i].Value {
			return false
		}
		host = fields[i].Value
	}
	if !validTarget(method, scheme, host, path) {
		return false
	}
	if method == "CONNECT" {
		path = host
	}
	q.head = method == "HEAD"
	b := append(append(*q.text, method...), ' ')
	b = append(append(b, path...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, host...), "\r\n"...)
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
			if err != nil || q.st.declared >= 0 {
				return false
			}
			q.st.declared = int64(n)
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
	q.sized = !trailed && q.st.c.h.collects(q.st.declared, form, expects)
	switch {
	case q.st.declared >= 0 && !trailed && !q.sized:
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), q.st.declared, 10), "\r\n"...)
		if q.st.declared > 0 {
			q.body = plainBody
		}
	case !q.st.remoteDone:
		q.body = chunkedBody
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	*q.text = append(b, "\r\n"...)
	return true
}

// collects reports whether fasthttp would make room for a body of that length, before it
// has come. It does not for one that is too long, a form that it takes apart as it comes,
// or a stream. A hook that is asked before the body comes is to see its length.
func (h *h2) collects(length int64, form, expects bool) bool {
	fs := h.sv.fs
	most := int64(fs.MaxRequestBodySize)
	if most <= 0 {
		most = fasthttp.DefaultMaxRequestBodySize
	}
	return length >= chunkedFrom && length <= most && !fs.StreamRequestBody && fs.HeaderReceived == nil &&
		!(form && !fs.DisablePreParseMultipartForm) && !(expects && (fs.ContinueHandler != nil || fs.ExpectHandler != nil))
}

// validTarget reports whether what a request asks for can stand in the first lines of
// HTTP/1.1, and is read there as it was meant.
func validTarget(method, scheme, host, path string) bool {
	if !httpguts.ValidHeaderFieldName(method) || !httpguts.ValidHostHeader(host) {
		return false
	}
	switch {
	case method == "CONNECT":
		return scheme == "" && path == "" && host != ""
	case scheme != "http" && scheme != "https":
		return false
	case path == "*":
		return method == "OPTIONS"
	}
	unfit := func(r rune) bool { return r <= ' ' || r == 0x7f }
	return strings.HasPrefix(path, "/") && !strings.ContainsFunc(path, unfit)
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

// tooLong makes of a head that was cut short, for it was too long, one that is too long
// for fasthttp as well.
func (q *request) tooLong() {
	b := (*q.text)[:len(*q.text)-len("\r\n")]
	b = append(b, "x: "...)
	b = append(b, make([]byte, q.st.c.h.headers)...)
	*q.text = append(b, "\r\n\r\n"...)
}

// read is what fasthttp reads.
func (q *request) read(p []byte) (int, error) {
	if n := q.ready(p); n > 0 || len(p) == 0 {
		return n, nil
	}
	switch {
	case q.body == noBody || q.ended:
		return 0, io.EOF
	case q.st.out.complete:
		// It is answered, and fasthttp would like to see the end of what nobody has
		// asked for: the client is told to keep it.
		return 0, io.ErrUnexpectedEOF
	case q.body == plainBody:
		return q.st.receive(p)
	}
	return q.chunk(p)
}

// ready copies out what is there.
func (q *request) ready(p []byte) int {
	if q.text == nil {
		return 0
	}
	n := copy(p, (*q.text)[q.at:])
	if q.at += n; q.at == len(*q.text) {
		q.release()
	}
	return n
}

// release gives the text back.
func (q *request) release() {
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
func (q *request) chunk(p []byte) (int, error) {
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
	n, err := q.st.receive(p[chunkSize:min(len(p)-chunkEnd, chunkSize+chunkMost)])
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
	trailers := q.st.trailers
	if q.sized { // behind a length there are none
		trailers = nil
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
