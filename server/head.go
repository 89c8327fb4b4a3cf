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
	off    bool                    // something has come behind a head, so that nobody here knows where heads begin
}

// begin starts over with a connection that is between two requests.
func (h *heads) begin() { h.head, h.inBody, h.off = nil, false, false }

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
	switch end := bytes.Index(all[max(len(all)-len(p)-len(endOfHead), 0):], endOfHead); {
	case end >= 0:
		h.off = !bytes.HasSuffix(all, endOfHead)
		h.head, h.inBody = nil, true
	case len(all) > mostOfAHead:
		h.head, h.off = nil, true
	case len(h.head) == 0:
		h.head = append(h.head, p...)
	}
}

var endOfHead = []byte("\r\n\r\n")
