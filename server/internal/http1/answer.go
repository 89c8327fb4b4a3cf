package http1

import (
	"bytes"
	"errors"
	"iter"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/net/http/httpguts"
)

// Sink is where an answer goes. An error ends it, and is what fasthttp's Write gets.
type Sink interface {
	// Respond sends a head, with its status in front as :status, or trailers. fields is
	// called before Respond returns. last: nothing is behind it.
	Respond(fields func(add func(name, value string)), last bool) error
	// Send sends some of the body. last: nothing is behind it.
	Send(p []byte, last bool) error
	// Flush has what was sent be on its way. more: the rest of an answer whose length is
	// known comes next, for which it may wait if that comes at once.
	Flush(more bool)
}

// Answer is what fasthttp answers, in HTTP/1.1, taken apart:
//
//	head ─┬─► plain ─────────────────────┬─► complete
//	  ▲   ├─► size ─► chunk ─► size … ───┤
//	  └───┘ interim                trailers
type Answer struct {
	To       Sink
	Bare     bool // it is to a HEAD, and has no body
	Begun    bool // the head is sent
	Complete bool

	state answerState
	head  []byte // of a head, a chunk's size or trailers, as far as they have come
	left  int64  // of the body, or the chunk
}

type answerState uint8

const (
	inHead answerState = iota
	inPlain
	inSize
	inChunk
	inChunkEnd
	inTrailers
)

var errAnswer = errors.New("esca: what fasthttp answers is no HTTP/1.1")

// Write is what fasthttp writes. What it has written is on its way when Write returns:
// there is no telling when it comes back.
func (o *Answer) Write(p []byte) (int, error) {
	all := len(p)
	for len(p) > 0 && !o.Complete {
		n, err := o.step(p)
		if err != nil {
			return all - len(p), err
		}
		p = p[n:]
	}
	if !o.Complete {
		o.To.Flush(o.state == inPlain)
	}
	return all, nil
}

// step takes some of p, which is not empty.
func (o *Answer) step(p []byte) (int, error) {
	switch o.state {
	case inHead:
		head, n := o.gather(p, "\r\n\r\n")
		if head == nil {
			return n, nil
		}
		return n, o.begin(head)
	case inPlain, inChunk:
		b := p[:min(int64(len(p)), o.left)]
		o.left -= int64(len(b))
		if o.state == inPlain {
			o.Complete = o.left == 0
		} else if o.left == 0 {
			o.state = inChunkEnd
		}
		return len(b), o.To.Send(b, o.Complete)
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
			o.Complete = true
			return n, o.end(lowered(lines))
		}
		return n, nil
	}
	return len(p), nil
}

// gather adds p to what is gathered until it ends with end, and returns that, and how
// much of p it took; nil: the end is not there.
func (o *Answer) gather(p []byte, end string) ([]byte, int) {
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

// end sends what is behind the last chunk.
func (o *Answer) end(trailers string) error {
	if trailers == "\r\n\r\n" {
		return o.To.Send(nil, true)
	}
	return o.To.Respond(func(add func(name, value string)) {
		for name, value := range fieldsOf(trailers) {
			add(name, value)
		}
	}, true)
}

// begin sends a head, and finds out what is behind it.
func (o *Answer) begin(head []byte) error {
	const before, digits = len("HTTP/1.1 "), 3
	end := bytes.IndexByte(head, '\r')
	if end < before+digits {
		return errAnswer
	}
	status, err := strconv.Atoi(string(head[before : before+digits]))
	if err != nil || status < 100 {
		return errAnswer
	}
	text := lowered(head[end+len("\r\n"):])
	length, chunked := int64(-1), false
	if value, ok := fieldOf(text, "content-length"); ok {
		if length, err = strconv.ParseInt(value, 10, 63); err != nil {
			return errAnswer
		}
	}
	_, chunked = fieldOf(text, "transfer-encoding")
	final := status >= 200
	bare := o.Bare || status == 204 || status == 304 || !chunked && length <= 0
	err = o.To.Respond(func(add func(name, value string)) {
		add(":status", statusText(status))
		for name, value := range fieldsOf(text) {
			switch name {
			case "connection", "keep-alive", "proxy-connection", "upgrade", "transfer-encoding":
			default:
				add(name, value)
			}
		}
	}, final && bare)
	if err != nil || !final {
		return err
	}
	o.Begun = true
	switch {
	case bare:
		o.Complete = true
	case chunked:
		o.state = inSize
	default:
		o.state, o.left = inPlain, length
	}
	return nil
}

// lowered is head as a string, with the names of its fields in lower case.
func lowered(head []byte) string {
	b := make([]byte, len(head))
	name := true
	for i, ch := range head {
		switch {
		case ch == '\n':
			name = true
		case ch == ':':
			name = false
		case name && 'A' <= ch && ch <= 'Z':
			ch |= 0x20
		}
		b[i] = ch
	}
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// fieldsOf goes through lines of names and values; what is none is left out.
func fieldsOf(text string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for text != "" {
			var line string
			line, text, _ = strings.Cut(text, "\r\n")
			name, value, ok := strings.Cut(line, ":")
			value = strings.TrimPrefix(value, " ")
			if ok && httpguts.ValidHeaderFieldName(name) && httpguts.ValidHeaderFieldValue(value) && !yield(name, value) {
				return
			}
		}
	}
}

// fieldOf returns the value of the first field of that name.
func fieldOf(text, name string) (string, bool) {
	for len(text) > len(name) {
		line, rest, _ := strings.Cut(text, "\r\n")
		if len(line) > len(name) && line[len(name)] == ':' && line[:len(name)] == name {
			return strings.TrimPrefix(line[len(name)+1:], " "), true
		}
		text = rest
	}
	return "", false
}

// statuses are the texts of 100 to 599.
var statuses = func() (s [500]string) {
	for i := range s {
		s[i] = strconv.Itoa(100 + i)
	}
	return s
}()

func statusText(status int) string {
	if i := status - 100; i < len(statuses) {
		return statuses[i]
	}
	return strconv.Itoa(status)
}
