//go:build linux && (amd64 || arm64)

package server

import (
	"crypto/tls"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server/internal/fast"
)

// h2 serves the HTTP/2 connections of a serving.
//
//	first burst ─► recognise ─┬─► ServeConn of fasthttp over the connection (HTTP/1)
//	                          └─► h2conn, on a goroutine of its own
//	                                └─► ServeConn of fasthttp over one stream after the other
//
// Frames and header compression are golang.org/x/net/http2's (Framer, hpack); its
// server is not used, which passes each frame and each answer through a handful of
// goroutines. What is in a stream fasthttp gets as a request of HTTP/1.1 (h2line), so
// that its own code sees to limits, timeouts, forms, bodies and errors as it always does.
type h2 struct {
	sv      *serving
	clear   bool          // connections without TLS may begin with HTTP/2's preface
	idle    time.Duration // how long a connection may be without streams; 0: for ever
	stall   time.Duration // how long a client may take nothing of an answer; 0: for ever
	headers uint32        // bytes of a request's header; fasthttp has a limit of its own, and an answer

	mu       sync.Mutex
	conns    map[*h2conn]struct{}
	watched  []*h2conn // see h2watch.go
	watching bool
}

// newH2 returns what serves HTTP/2 for sv; nil: nothing does. It adds what is offered
// to sv.tls.
func newH2(sv *serving) *h2 {
	fs := sv.fs
	h := &h2{sv: sv, conns: make(map[*h2conn]struct{})}
	on, told := conn.Value(http2Key{}, sv.s.opts...).(bool)
	h.clear, _ = conn.Value(h2cKey{}, sv.s.opts...).(bool)
	h.stall, _ = conn.Value(stallKey{}, sv.s.opts...).(time.Duration)
	_, taken := nextProtos(fs)[http2.NextProtoTLS]
	switch {
	case taken || !fast.Known(), sv.tls == nil && !h.clear:
		return nil
	case sv.tls != nil && told && !on:
		sv.tls.NextProtos = slices.DeleteFunc(slices.Clone(sv.tls.NextProtos), func(p string) bool { return p == http2.NextProtoTLS })
		return nil
	case sv.tls != nil && !offerH2(sv.tls):
		return nil
	}
	if h.idle = fs.IdleTimeout; h.idle <= 0 {
		h.idle = max(fs.ReadTimeout, 0)
	}
	h.headers = uint32(max(4*fs.ReadBufferSize, 64<<10))
	return h
}

// goodCiphers are those of TLS 1.2 that HTTP/2 has not forbidden (RFC 9113, appendix A).
var goodCiphers = []uint16{
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
}

// offerH2 has cfg offer HTTP/2, unless it says otherwise, and reports whether it may be
// chosen.
func offerH2(cfg *tls.Config) bool {
	good := func(c uint16) bool { return slices.Contains(goodCiphers, c) }
	old := cfg.MaxVersion != 0 && cfg.MaxVersion < tls.VersionTLS12 ||
		cfg.CipherSuites != nil && cfg.MinVersion < tls.VersionTLS13 && !slices.ContainsFunc(cfg.CipherSuites, good)
	if len(cfg.NextProtos) == 0 && !old {
		cfg.NextProtos = []string{http2.NextProtoTLS, "http/1.1"}
	}
	return cfg.GetConfigForClient != nil || slices.Contains(cfg.NextProtos, http2.NextProtoTLS)
}

// recognise reports whether ss, in its first burst, is HTTP/2's.
func (h *h2) recognise(ss *session) bool {
	if t := ss.tls; t != nil {
		if d := h.sv.fs.WriteTimeout; d > 0 {
			t.SetWriteDeadline(time.Now().Add(d))
		}
		// An error is for ServeConn, which gets the same.
		return t.Handshake() == nil && t.ConnectionState().NegotiatedProtocol == http2.NextProtoTLS
	}
	var got [len(http2.ClientPreface)]byte
	n := 0
	for n < len(got) && strings.HasPrefix(http2.ClientPreface, string(got[:n])) {
		m, err := ss.nc().Read(got[n:])
		n += m
		if err != nil {
			break
		}
	}
	ss.b.Unread(got[:n])
	return string(got[:n]) == http2.ClientPreface
}

// take takes ss over from its burst.
func (h *h2) take(ss *session) {
	ss.b.Detach()
	c := newH2conn(h, ss)
	h.mu.Lock()
	h.conns[c] = struct{}{}
	h.mu.Unlock()
	go c.serve()
}

func (h *h2) forget(c *h2conn) {
	h.mu.Lock()
	delete(h.conns, c)
	h.mu.Unlock()
}

// goAway has every client told to send no more requests. It may be called again, for
// connections that have come meanwhile.
func (h *h2) goAway() {
	h.mu.Lock()
	conns := slices.Collect(maps.Keys(h.conns))
	h.mu.Unlock()
	for _, c := range conns {
		c.shutDown()
	}
}
