//go:build linux && (amd64 || arm64)

package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// h2conn is a connection that speaks HTTP/2.
type h2conn struct {
	h        *h2
	ss       *session
	requests atomic.Uint64
}

// ServeHTTP serves one stream.
func (c *h2conn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	st := &stream{c: c, w: w, r: r, num: c.requests.Add(1)}
	st.in.begin(st)
	st.out.st = st
	defer st.end()
	sv := c.h.sv
	err := sv.loops[c.ss.b.Loop()].ServeConn(st.conn())
	if r.Context().Err() == nil { // the client is still there
		sv.logError(c.ss.nc, err)
	}
	if !st.out.finish() {
		panic(http.ErrAbortHandler) // http2 resets the stream
	}
}

// stream is one request of HTTP/2, and its answer: a connection of HTTP/1.1, to
// fasthttp. It is also what handlers get as ctx.Conn: its addresses and deadlines are
// good, what it reads and writes is not for them.
type stream struct {
	c   *h2conn
	w   http.ResponseWriter
	r   *http.Request
	num uint64 // of the connection's requests

	in     request
	out    response
	goAway bool // no more requests on this connection

	mu     sync.Mutex // of what handlers may use from goroutines of their own
	over   bool
	readAt time.Time // the read deadline
	moved  bool      // and http2 does not know yet
}

// tlsStream is a stream of a connection with TLS, by fasthttp's test for one.
type tlsStream struct{ *stream }

func (t tlsStream) Handshake() error { return nil }
func (t tlsStream) ConnectionState() tls.ConnectionState {
	return t.c.ss.nc.(*tlsConn).ConnectionState()
}

func (st *stream) conn() net.Conn {
	if st.c.h.sv.tls != nil {
		return tlsStream{st}
	}
	return st
}

// streamOf returns the stream that nc is; nil: it is none.
func streamOf(nc net.Conn) *stream {
	switch nc := nc.(type) {
	case *stream:
		return nc
	case tlsStream:
		return nc.stream
	}
	return nil
}

// end is called as ServeHTTP returns. A panic of a handler ends the process, as on
// HTTP/1.
func (st *stream) end() {
	st.mu.Lock()
	st.over = true
	st.mu.Unlock()
	st.in.release()
	if v := recover(); v != nil {
		if v == http.ErrAbortHandler {
			panic(v)
		}
		stack := debug.Stack()
		go panic(fmt.Sprintf("%v [in a handler]\n\n%s", v, stack))
		select {}
	}
}

func (st *stream) Read(p []byte) (int, error)  { return st.in.read(p) }
func (st *stream) Write(p []byte) (int, error) { return st.out.write(p) }

// Close does nothing: the stream ends when its ServeConn has returned.
func (st *stream) Close() error { return nil }

func (st *stream) LocalAddr() net.Addr  { return st.c.ss.nc.LocalAddr() }
func (st *stream) RemoteAddr() net.Addr { return st.c.ss.nc.RemoteAddr() }

// SetDeadline sets both deadlines.
func (st *stream) SetDeadline(t time.Time) error {
	if err := st.SetReadDeadline(t); err != nil {
		return err
	}
	return st.SetWriteDeadline(t)
}

// SetReadDeadline sets when the rest of the request's body must have come.
func (st *stream) SetReadDeadline(t time.Time) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.over {
		return net.ErrClosed
	}
	st.moved = st.moved || !t.Equal(st.readAt)
	st.readAt = t
	return nil
}

// SetWriteDeadline sets when the stream is reset, if its answer is not sent by then.
func (st *stream) SetWriteDeadline(t time.Time) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.over {
		return net.ErrClosed
	}
	return http.NewResponseController(st.w).SetWriteDeadline(t)
}

// armRead has http2 know of the read deadline, before the body is waited for.
func (st *stream) armRead() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.moved {
		st.moved = false
		http.NewResponseController(st.w).SetReadDeadline(st.readAt)
	}
}

// readError is what fasthttp is told of a body that has ended with err.
func (st *stream) readError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = &net.OpError{Op: "read", Net: "tcp", Source: st.LocalAddr(), Addr: st.RemoteAddr(), Err: os.ErrDeadlineExceeded}
	}
	return err
}

// identify gives ctx the number, age and identity of the stream's connection.
func (st *stream) identify(ctx *fasthttp.RequestCtx) {
	setIdentity(ctx, st.c.ss.id, st.num, st.c.ss.b.Since())
}

// errNoHijack is what a client gets of a handler that hijacks a stream.
var errNoHijack = errors.New("esca: an HTTP/2 stream cannot be hijacked: have the client speak HTTP/1.1, or use server.WithHTTP2(false)")

// handled is called when the handler has returned.
func (st *stream) handled(ctx *fasthttp.RequestCtx) {
	sv := st.c.h.sv
	resp := ctx.LastTimeoutErrorResponse()
	if resp == nil {
		resp = &ctx.Response
		if ctx.Hijacked() {
			sv.logf("%v: %s %s", errNoHijack, ctx.Method(), ctx.Path())
			ctx.Hijack(nil)
			resp.Reset()
			ctx.Error(errNoHijack.Error(), fasthttp.StatusHTTPVersionNotSupported)
		}
	}
	limit := sv.fs.MaxRequestsPerConn
	st.goAway = resp.ConnectionClose() || sv.fs.DisableKeepalive || limit > 0 && st.num >= uint64(limit)
}

func (st *stream) context() context.Context { return st.r.Context() }
