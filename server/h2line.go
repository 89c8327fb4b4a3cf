//go:build linux && (amd64 || arm64)

package server

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2"

	"github.com/escahttp/esca/server/internal/fast"
)

// h2line is the connection that a ServeConn believes to have: of HTTP/1.1, and kept
// alive from one stream to the next.
type h2line struct {
	c       *h2conn
	st      *stream       // being served; nil: none
	first   *stream       // to be served, if it is not the driver's
	idle    bool          // the answer is written, and the next request is asked for
	asked   bool          // ServeConn has read
	busy    bool          // it has entered, for st
	settled bool          // ServeConn is to be left until there is a stream
	seq     atomic.Uint64 // odd while the driver is away from the frames
}

const replaced = ^uint64(0) // seq, when another driver has the frames

// enter is called by the driver, which is about to do what may take long.
func (ln *h2line) enter() { ln.seq.Add(1) }

// leave reports whether it is the driver still.
func (ln *h2line) leave() bool {
	seq := ln.seq.Load()
	return seq != replaced && ln.seq.CompareAndSwap(seq, seq+1)
}

// tlsLine is a line of a connection with TLS, by fasthttp's test for one.
type tlsLine struct{ *h2line }

func (t tlsLine) Handshake() error { return nil }
func (t tlsLine) ConnectionState() tls.ConnectionState {
	state, _ := tlsStateOf(t.c.nc)
	return state
}

func (ln *h2line) conn() net.Conn {
	if ln.c.h.sv.tls != nil {
		return tlsLine{ln}
	}
	return ln
}

// lineOf returns the line that nc is; nil: it is none.
func lineOf(nc net.Conn) *h2line {
	switch nc := nc.(type) {
	case *h2line:
		return nc
	case tlsLine:
		return nc.h2line
	}
	return nil
}

// drive serves streams until there are no more.
func (ln *h2line) drive() {
	returned := false
	defer func() {
		if returned {
			return
		}
		// A handler has ended its goroutine, or the process is about to end.
		ln.c.mu.Lock()
		ln.c.replace(ln, ln.seq.Load())
		ln.c.mu.Unlock()
		ln.done()
	}()
	for ln.first != nil || ln.c.driver.Load() == ln {
		if ln.settled {
			ln.settled = false
			if ln.first = ln.c.next(ln); ln.first == nil {
				if ln.settled {
					continue
				}
				break
			}
		}
		ln.asked = false
		err := ln.c.ls.serve(ln.conn())
		if !ln.asked && ln.refuse() { // it has too many connections
			break
		}
		if st := ln.st; st != nil && !st.isClosed() {
			ln.c.h.sv.logError(ln.c.nc, err)
		}
		ln.done()
		if ln.c.hasEnded() {
			break
		}
	}
	returned = true
}

// refuse ends what ServeConn will have nothing to do with, and reports whether that was
// all: the driver goes on with other streams.
func (ln *h2line) refuse() bool {
	c := ln.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if st := ln.first; st != nil {
		ln.first = nil
		c.running--
		c.resetStream(st.id, http2.ErrCodeRefusedStream)
		c.endIfIdle()
		c.flushLocked()
		ln.settled = c.driver.Load() == ln
		return !ln.settled
	}
	c.fail(http2.ConnectionError(http2.ErrCodeEnhanceYourCalm))
	return true
}

func (c *h2conn) hasEnded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

// Read reads the stream under way, or the next.
func (ln *h2line) Read(p []byte) (int, error) {
	ln.asked = true
	if ln.st == nil || ln.idle {
		ln.done()
		st := ln.c.next(ln)
		if st == nil {
			return 0, net.ErrClosed
		}
		ln.st, st.ln = st, ln
		if d := ln.c.h.sv.fs.ReadTimeout; d > 0 && st.in.HasBody() {
			st.SetReadDeadline(time.Now().Add(d)) // on a new line ServeConn has set it before
		}
		ln.c.tellState()
		if ln.c.driver.Load() == ln {
			ln.busy = true
			ln.enter()
			ln.c.h.watch(ln.c)
		}
	}
	return ln.st.in.Read(p)
}

// done ends the stream under way.
func (ln *h2line) done() {
	st := ln.st
	if st == nil {
		return
	}
	ln.st, ln.idle = nil, false
	if ln.busy {
		ln.busy = false
		ln.leave()
	}
	c := ln.c
	st.in.Release()
	c.mu.Lock()
	c.running--
	st.endContext(nil)
	switch {
	case st.closed:
	case st.rest.on && st.rest.last: // the client is still to take it
	case st.out.Complete: // and the client is still sending
		c.resetStream(st.id, http2.ErrCodeNo)
	case !st.handled && !st.out.Begun: // a server that stops has not looked at it
		c.resetStream(st.id, http2.ErrCodeRefusedStream)
	default:
		c.resetStream(st.id, http2.ErrCodeInternal)
	}
	st.over = true
	if st.answered() {
		c.resets = max(c.resets-1, 0)
	}
	c.endIfIdle()
	if c.driver.Load() != ln {
		c.flushLocked()
	}
	c.mu.Unlock()
	c.tellState()
}

func (ln *h2line) Write(p []byte) (int, error) {
	if ln.st == nil {
		return 0, net.ErrClosed
	}
	return ln.st.out.Write(p)
}

// Close does nothing: streams end otherwise.
func (ln *h2line) Close() error         { return nil }
func (ln *h2line) LocalAddr() net.Addr  { return ln.c.nc.LocalAddr() }
func (ln *h2line) RemoteAddr() net.Addr { return ln.c.nc.RemoteAddr() }

// Deadlines are the stream's; between two, they are the connection's own.

func (ln *h2line) SetDeadline(t time.Time) error {
	ln.SetReadDeadline(t)
	return ln.SetWriteDeadline(t)
}

func (ln *h2line) SetReadDeadline(t time.Time) error {
	if ln.st != nil && !ln.idle {
		ln.st.SetReadDeadline(t)
	}
	return nil
}

func (ln *h2line) SetWriteDeadline(t time.Time) error {
	if ln.st != nil && !ln.idle {
		ln.st.SetWriteDeadline(t)
	}
	return nil
}

// handle calls the user's handler for the stream under way.
func (ln *h2line) handle(ctx *fasthttp.RequestCtx) {
	st, sv := ln.st, ln.c.h.sv
	st.handled = true
	fast.SetIdentity(ctx, ln.c.ss.id, st.num, ln.c.ss.b.Since())
	own := ctx.Conn()
	fast.SetConn(ctx, st.conn())
	ctx.SetRemoteAddr(nil) // which another stream's handler may have set
	if st.in.Sized {
		ctx.Request.Header.SetContentLength(int(st.in.Length))
	}
	sv.fs.Handler(ctx)
	st.c.mu.Lock()
	st.returned = true
	st.c.mu.Unlock()
	resp := ctx.LastTimeoutErrorResponse()
	if resp == nil { // otherwise ctx is the handler's still
		fast.SetConn(ctx, own)
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

// early is for a hook that comes before the handler; the result undoes it.
func (ln *h2line) early(ctx *fasthttp.RequestCtx) (undo func()) {
	if ln.st == nil {
		return func() {}
	}
	own := ctx.Conn()
	fast.SetIdentity(ctx, ln.c.ss.id, ln.st.num-1, ln.c.ss.b.Since())
	fast.SetTime(ctx, time.Time{})
	fast.SetConn(ctx, ln.st.conn())
	return func() { fast.SetConn(ctx, own) }
}
