//go:build linux && (amd64 || arm64)

package server

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// response is what fasthttp answers to a stream, in HTTP/1.1, taken apart for http2:
//
//	head ─┬─► plain ─────────────────────┬─► complete
//	  ▲   ├─► size ─► chunk ─► size … ───┤
//	  └───┘ interim                trailers
type response struct {
	st       *stream
	state    respState
	head     []byte // of a head, a chunk's size or trailers, as far as they have come
	left     int64  // of the body, or the chunk
	begun    bool   // http2 has the head
	complete bool
}

type respState uint8

const (
	inHead respState = iota
	inPlain
	inSize
	inChunk
	inChunkEnd
	inTrailers
	behind
)

var errAnswer = errors.New("esca: fasthttp's answer to an HTTP/2 stream is no HTTP/1.1")

// write is what fasthttp writes. What it has written is on its way when write returns:
// there is no telling when it comes back.
func (o *response) write(p []byte) (int, error) {
	all := len(p)
	for len(p) > 0 && !o.complete {
		n, err := o.step(p)
		if err != nil {
			return all - len(p), err
		}
		p = p[n:]
	}
	if o.begun && !o.complete {
		return all, http.NewResponseController(o.st.w).Flush()
	}
	return all, nil
}

// step takes some of p, which is not empty.
func (o *response) step(p []byte) (int, error) {
	switch o.state {
	case inHead:
		head, n := o.gather(p, "\r\n\r\n")
		if head == nil {
			return n, nil
		}
		return n, o.begin(string(head))
	case inPlain, inChunk:
		b := p[:min(int64(len(p)), o.left)]
		n, err := o.st.w.Write(b)
		if o.left -= int64(n); err == nil && o.left == 0 {
			o.complete = o.state == inPlain
			o.state = inChunkEnd
		}
		return n, err
	case inSize:
		line, n := o.gather(p, "\r\n")
		if line == nil {
			return n, nil
		}
		size, err := strconv.ParseInt(string(line[:len(line)-2]), 16, 63)
		if err != nil {
			return 0, errAnswer
		}
		o.left, o.state = size, inChunk
		if size == 0 {
			o.state = inTrailers
			o.head = append(o.head[:0], "\r\n"...) // the end of a line before none
		}
		return n, nil
	case inChunkEnd:
		line, n := o.gather(p, "\r\n")
		if line != nil {
			o.state = inSize
		}
		return n, nil
	case inTrailers:
		lines, n := o.gather(p, "\r\n\r\n")
		if lines != nil {
			o.trailers(string(lines))
			o.complete = true
		}
		return n, nil
	}
	return len(p), nil
}

// gather adds p to what is gathered until it ends with end, and returns that, and how
// much of p it took; nil: the end is not there.
func (o *response) gather(p []byte, end string) ([]byte, int) {
	if len(o.head) == 0 {
		if i := bytes.Index(p, []byte(end)); i >= 0 {
			return p[:i+len(end)], i + len(end)
		}
		o.head = append(o.head, p...)
		return nil, len(p)
	}
	had := len(o.head)
	o.head = append(o.head, p...)
	i := bytes.Index(o.head[max(had-len(end)+1, 0):], []byte(end))
	if i < 0 {
		return nil, len(p)
	}
	all := o.head[:max(had-len(end)+1, 0)+i+len(end)]
	o.head = o.head[:0]
	return all, len(all) - had
}

// begin gives http2 a head.
func (o *response) begin(head string) error {
	line, rest, _ := strings.Cut(head, "\r\n")
	if len(line) < len("HTTP/1.1 200") {
		return errAnswer
	}
	status, err := strconv.Atoi(line[len("HTTP/1.1 "):len("HTTP/1.1 200")])
	if err != nil || status < 100 {
		return errAnswer
	}
	if status == http.StatusContinue {
		return nil // http2 says so itself when the body is asked for
	}
	h := o.st.w.Header()
	values := make([]string, 0, 16)
	length, chunked := int64(-1), false
	for rest != "\r\n" && rest != "" {
		line, rest, _ = strings.Cut(rest, "\r\n")
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			name, value, _ = strings.Cut(line, ":")
		}
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade":
			continue
		case "Transfer-Encoding":
			chunked = true
			continue
		case "Content-Length":
			if length, err = strconv.ParseInt(value, 10, 63); err != nil {
				return errAnswer
			}
		}
		name = http.CanonicalHeaderKey(name)
		values = append(values, value)
		if had := h[name]; had != nil {
			h[name] = append(had, value)
		} else {
			h[name] = values[len(values)-1 : len(values) : len(values)]
		}
	}
	if status < 200 {
		o.st.w.WriteHeader(status)
		clear(h)
		return nil
	}
	for _, own := range [...]string{"Date", "Content-Type"} { // which http2 would add
		if h[own] == nil {
			h[own] = nil
		}
	}
	if o.st.goAway {
		h["Connection"] = []string{"close"}
	}
	o.begun = true
	o.st.w.WriteHeader(status)
	switch {
	case o.st.r.Method == http.MethodHead, status == http.StatusNoContent, status == http.StatusNotModified:
		o.complete = true
	case chunked:
		o.state = inSize
	case length == 0:
		o.complete = true
	default:
		o.state, o.left = inPlain, length
	}
	return nil
}

func (o *response) trailers(lines string) {
	h := o.st.w.Header()
	for line := range strings.SplitSeq(lines, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			name = http.TrailerPrefix + name
			h[name] = append(h[name], strings.TrimSpace(value))
		}
	}
}

// finish reports whether all of the answer was there.
func (o *response) finish() bool { return o.complete }
