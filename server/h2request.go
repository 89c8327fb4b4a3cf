//go:build linux && (amd64 || arm64)

package server

import (
	"io"
	"net/http"
	"reflect"
	"strconv"
	"sync"
)

// request is a stream's request as HTTP/1.1 has it: a head, and a body that is as long
// as its Content-Length says, or comes in chunks.
type request struct {
	st     *stream
	text   *[]byte // what is ready to be read, from at on; of texts
	at     int
	body   bodyKind
	ended  bool // the body has
	broken error
}

type bodyKind uint8

const (
	noBody bodyKind = iota
	plainBody
	chunkedBody
)

var texts = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// begin writes the head.
func (q *request) begin(st *stream) {
	r := st.r
	q.st, q.text = st, texts.Get().(*[]byte)
	b := (*q.text)[:0]
	b = append(append(b, r.Method...), ' ')
	b = append(append(b, r.RequestURI...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, r.Host...), "\r\n"...)
	for name, values := range r.Header {
		if name == "Host" || name == "Content-Length" {
			continue
		}
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	switch {
	case r.ContentLength < 0 || len(r.Trailer) > 0:
		q.body = chunkedBody
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case r.ContentLength > 0:
		q.body = plainBody
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), r.ContentLength, 10), "\r\n"...)
	case r.Header["Content-Length"] != nil:
		b = append(b, "Content-Length: 0\r\n"...)
	}
	if q.body != noBody && needsContinue(r.Body) {
		b = append(b, "Expect: 100-continue\r\n"...)
	}
	for name := range r.Trailer {
		b = appendField(b, "Trailer", name)
	}
	*q.text = append(b, "\r\n"...)
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

// needsContinue reports whether body, http2's, asks the client for itself when it is
// first read: http2 has taken the Expect out of the header.
func needsContinue(body io.Reader) bool {
	v := reflect.ValueOf(body)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return false
	}
	f := v.Elem().FieldByName("needsContinue")
	return f.IsValid() && f.Kind() == reflect.Bool && f.Bool()
}

// read is what fasthttp reads.
func (q *request) read(p []byte) (int, error) {
	if n := q.ready(p); n > 0 || len(p) == 0 {
		return n, nil
	}
	switch {
	case q.broken != nil:
		return 0, q.broken
	case q.body == noBody || q.ended:
		return 0, io.EOF
	case q.st.out.complete:
		// It is answered, and fasthttp would like to see the end of what nobody has
		// asked for: http2 tells the client to keep it.
		return 0, io.ErrUnexpectedEOF
	case q.body == plainBody:
		n, err := q.receive(p)
		return n, err
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
	if q.text != nil {
		if cap(*q.text) <= 64<<10 {
			texts.Put(q.text)
		}
		q.text, q.at = nil, 0
	}
}

// receive reads the body of the stream. At its end there may be something and an error.
func (q *request) receive(p []byte) (int, error) {
	q.st.armRead()
	n, err := q.st.r.Body.Read(p)
	if err == io.EOF {
		q.ended = true
		if n > 0 {
			err = nil
		}
	} else if err != nil {
		q.broken = q.st.readError(err)
		err = q.broken
	}
	return n, err
}

// The frame of a chunk: its size, as wide as need be, and line ends.
const (
	chunkSize = len("0000\r\n")
	chunkEnd  = len("\r\n")
	chunkMost = 0xffff
)

// chunk reads some of the body, as a chunk, or what comes behind the last.
func (q *request) chunk(p []byte) (int, error) {
	if len(p) <= chunkSize+chunkEnd {
		q.text = texts.Get().(*[]byte)
		*q.text = append((*q.text)[:0], make([]byte, 512)...)
		n, err := q.chunk(*q.text)
		*q.text = (*q.text)[:n]
		if n > 0 {
			return q.ready(p), nil
		}
		q.release()
		return 0, err
	}
	n, err := q.receive(p[chunkSize:min(len(p)-chunkEnd, chunkSize+chunkMost)])
	switch {
	case n > 0:
		const digits = "0123456789abcdef"
		for i := range 4 {
			p[i] = digits[n>>(12-4*i)&15]
		}
		copy(p[4:], "\r\n")
		return chunkSize + n + copy(p[chunkSize+n:], "\r\n"), nil
	case !q.ended:
		return 0, err
	}
	q.text = texts.Get().(*[]byte)
	*q.text = appendTrailers(append((*q.text)[:0], "0\r\n"...), q.st.r.Trailer)
	return q.ready(p), nil
}

func appendTrailers(b []byte, trailers http.Header) []byte {
	for name, values := range trailers {
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	return append(b, "\r\n"...)
}
