//go:build linux && (amd64 || arm64)

package server

import (
	"bytes"
)

// CheckHeads has f look at what has come of a request whose head is not complete, each
// time before more is waited for. An error of f's is what the request fails with, at
// once: fasthttp waits for the CRLF CRLF that ends a head, and so for ever for one of
// bare line feeds, or one that is none. head is f's until it returns. To be called
// before Serve; requests that come over TLS, or to a server with ReduceMemoryUsage,
// are not looked at.
func (s *Server) CheckHeads(f func(head []byte) error) { s.checkHead = f }

// mostOfAHead bounds what is kept of one: what is longer is fasthttp's to refuse.
const mostOfAHead = 64 << 10

// heads is where a line is in its requests' heads. A request that comes whole, as
// most do, costs one look for its end.
type heads struct {
	check  func(head []byte) error // nil: nobody looks
	head   []byte                  // of the present request, as far as it has come; empty: it is complete
	inBody bool                    // the head of the present request is complete
	off    bool                    // what has come behind a head may be a body: nobody here knows where heads begin
}

// begin starts over with a connection that is between two requests.
func (h *heads) begin() { h.head, h.inBody, h.off = nil, false, false }

// end is called once no more heads are to come: what is behind this one is a hijacker's.
func (h *heads) end() { h.head, h.off = nil, true }

// wait is called before more is waited for.
func (h *heads) wait() error {
	if len(h.head) == 0 {
		return nil
	}
	return h.check(h.head)
}

// add adds p to the head of the present request. One that p is all of is not kept.
func (h *heads) add(p []byte) {
	if h.check == nil || h.off || h.inBody {
		return
	}
	all := p
	if len(h.head) > 0 {
		h.head = append(h.head, p...)
		all = h.head
	}
	from := max(len(all)-len(p)-len(endOfHead), 0)
	switch end := bytes.Index(all[from:], endOfHead); {
	case end >= 0:
		end += from + len(endOfHead)
		h.passed(all[:end], all[end:])
	case len(all) > mostOfAHead:
		h.head, h.off = nil, true
	case len(h.head) == 0:
		h.head = append(h.head, p...)
	}
}

// passed takes in that a head is complete, with what has come behind it: the next head,
// if that one has no body and this is not whole either.
func (h *heads) passed(head, behind []byte) {
	switch {
	case len(behind) == 0:
		h.head, h.inBody = nil, true
	case hasNoBody(head) && !bytes.Contains(behind, endOfHead) && len(behind) <= mostOfAHead:
		h.head = bytes.Clone(behind)
	default:
		h.head, h.off = nil, true
	}
}

// hasNoBody reports whether a request with this head certainly has none (RFC 9112, 6).
func hasNoBody(head []byte) bool {
	if !bytes.HasPrefix(head, []byte("GET ")) && !bytes.HasPrefix(head, []byte("HEAD ")) {
		return false
	}
	head = bytes.ToLower(head)
	return !bytes.Contains(head, []byte("\ncontent-length")) && !bytes.Contains(head, []byte("\ntransfer-encoding"))
}

var endOfHead = []byte("\r\n\r\n")
