//go:build linux && (amd64 || arm64)

package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2"

	"github.com/escahttp/esca/conn"
)

// h2 serves the HTTP/2 connections of a serving.
//
//	first burst ─► recognise ─┬─► ServeConn of fasthttp            (HTTP/1)
//	                          └─► http2, on a goroutine of its own, as long as the connection lasts
//	                                └─► a goroutine for each stream: ServeConn of fasthttp over a stream
//
// Frames, streams and flow control are golang.org/x/net/http2's. What is in a stream
// fasthttp gets as the one request of a connection of HTTP/1.1 (stream), so that its
// own code sees to limits, timeouts, forms, bodies and errors as it always does.
type h2 struct {
	sv    *serving
	http  *http.Server // where http2 has its limits from, and learns of a shutdown
	http2 http2.Server
	clear bool // connections without TLS may begin with HTTP/2's preface
}

// newH2 returns what serves HTTP/2 for sv; nil: nothing does. It adds what is offered
// to sv.tls.
func newH2(sv *serving) *h2 {
	h := &h2{sv: sv}
	on, told := conn.Value(http2Key{}, sv.s.opts...).(bool)
	h.clear, _ = conn.Value(h2cKey{}, sv.s.opts...).(bool)
	_, taken := nextProtos(sv.fs)[http2.NextProtoTLS]
	switch {
	case taken || !ctxFields.ok, sv.tls == nil && !h.clear:
		return nil
	case sv.tls != nil:
		if told && !on {
			sv.tls.NextProtos = slices.DeleteFunc(slices.Clone(sv.tls.NextProtos), func(p string) bool { return p == http2.NextProtoTLS })
			return nil
		}
		if !offerH2(sv.tls) {
			return nil
		}
	}
	fs := sv.fs
	idle := fs.IdleTimeout
	if idle <= 0 {
		idle = fs.ReadTimeout
	}
	size := fs.ReadBufferSize
	if size <= 0 {
		size = 4096
	}
	h.http = &http.Server{
		MaxHeaderBytes: max(4*size, 64<<10), // fasthttp has a limit of its own, and an answer
		ConnState:      h.connState,
		ErrorLog:       log.New(logWriter{sv}, "", 0),
	}
	h.http2 = http2.Server{IdleTimeout: max(idle, 0), WriteByteTimeout: max(fs.WriteTimeout, 0)}
	if err := http2.ConfigureServer(h.http, &h.http2); err != nil {
		sv.logf("esca: no HTTP/2: %v", err)
		return nil
	}
	return h
}

// offerH2 has cfg offer HTTP/2, unless it says otherwise.
func offerH2(cfg *tls.Config) bool {
	const required, alike = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	if cfg.MaxVersion != 0 && cfg.MaxVersion < tls.VersionTLS12 ||
		cfg.CipherSuites != nil && cfg.MinVersion < tls.VersionTLS13 && !slices.Contains(cfg.CipherSuites, required) && !slices.Contains(cfg.CipherSuites, alike) {
		return slices.Contains(cfg.NextProtos, http2.NextProtoTLS)
	}
	if len(cfg.NextProtos) == 0 {
		cfg.NextProtos = []string{http2.NextProtoTLS, "http/1.1"}
	}
	return cfg.GetConfigForClient != nil || slices.Contains(cfg.NextProtos, http2.NextProtoTLS)
}

// recognise reports whether ss, in its first burst, is HTTP/2's.
func (h *h2) recognise(ss *session) bool {
	if t, ok := ss.nc.(*tlsConn); ok {
		if d := h.sv.fs.WriteTimeout; d > 0 {
			t.SetWriteDeadline(time.Now().Add(d))
		}
		// An error is for ServeConn, which gets the same.
		return t.Handshake() == nil && t.ConnectionState().NegotiatedProtocol == http2.NextProtoTLS
	}
	var got [len(http2.ClientPreface)]byte
	n := 0
	for n < len(got) && strings.HasPrefix(http2.ClientPreface, string(got[:n])) {
		m, err := ss.nc.Read(got[n:])
		n += m
		if err != nil {
			break
		}
	}
	if string(got[:n]) == http2.ClientPreface {
		return true
	}
	ss.b.Unread(got[:n])
	return false
}

// serve serves ss until it ends.
func (h *h2) serve(ss *session) {
	ss.nc.SetDeadline(time.Time{})
	ss.id = newConnID()
	c := &h2conn{h: h, ss: ss}
	h.http2.ServeConn(ss.nc, &http2.ServeConnOpts{
		Context:          h.sv.base,
		BaseConfig:       h.http,
		Handler:          c,
		SawClientPreface: h.sv.tls == nil,
	})
	ss.nc.Close()
	ss.uncount()
	ss.tellClosed()
}

// goAway has every client told to send no more requests. It may be called again, for
// connections that have come meanwhile.
func (h *h2) goAway() { h.http.Shutdown(context.Background()) }

func newConnID() uint64 {
	var ctx fasthttp.RequestCtx
	ctx.Init2(nil, nil, true)
	return ctx.ConnID()
}

// connState is http2's hook.
func (h *h2) connState(nc net.Conn, state http.ConnState) {
	switch state {
	case http.StateActive:
		h.sv.tell(nc, fasthttp.StateActive)
	case http.StateIdle:
		h.sv.tell(nc, fasthttp.StateIdle)
	}
}

// logWriter is for what http2 has to say.
type logWriter struct{ sv *serving }

func (l logWriter) Write(p []byte) (int, error) {
	l.sv.logf("%s", bytes.TrimSuffix(p, []byte("\n")))
	return len(p), nil
}
