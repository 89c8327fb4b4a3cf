//go:build linux && (amd64 || arm64)

package server

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server/internal/fast"
)

// freshFor is how long a connection that has not sent anything is spared by a
// shutdown, as by fasthttp's.
const freshFor = 5 * time.Second

// session is what lasts of a connection from one burst to the next.
type session struct {
	sv  *serving
	b   *conn.Burst
	tls *tlsConn // nil: there is none

	id       uint64
	requests atomic.Uint64                  // written by its worker
	asked    atomic.Pointer[requestContext] // of the present request; nil: nobody has asked for it

	fresh   bool      // its preface is still to come
	later   bool      // the first burst is over
	waiting bool      // a later burst has not seen its request begin, and the deadlines wait for it
	active  bool      // a request has begun
	marks   marks     // what any goroutine may have to know
	ip      *[16]byte // nil: it is not among any client's connections
}

// nc is what handlers and hooks see: the connection, or TLS over it.
func (ss *session) nc() net.Conn {
	if ss.tls != nil {
		return ss.tls
	}
	return ss.b.Conn()
}

// marks are what is true of a session, one bit each.
type marks struct{ bits atomic.Uint32 }

const (
	busy     = 1 << iota // a burst is under way
	gone                 // it is closed, and all is sent
	told                 // the hook has been told of its end
	released             // a shutdown does not wait for it
	counted              // among its client's connections
)

func (m *marks) has(mark uint32) bool { return m.bits.Load()&mark != 0 }

// set reports whether it was not so before.
func (m *marks) set(mark uint32) bool { return m.bits.Or(mark)&mark == 0 }

// clear reports whether it was so before.
func (m *marks) clear(mark uint32) bool { return m.bits.And(^mark)&mark != 0 }

// tlsConn is TLS over a Conn. It outlives bursts, and so does not end with one.
type tlsConn struct {
	*tls.Conn
	ss *session
}

// Read is TLS's, and ends without a word between two requests.
func (t *tlsConn) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	return n, t.ss.readError(err)
}

// Close ends the connection; at the end of a burst it does nothing, as Conn's.
func (t *tlsConn) Close() error {
	if t.ss.b.ByWorker() && t.ss.b.Over() {
		return nil
	}
	return t.Conn.Close()
}

// Open is conn.Handler's: a connection was accepted.
func (sv *serving) Open(b *conn.Burst) {
	c := b.Conn()
	ss := &session{sv: sv, b: b}
	if sv.tls != nil {
		ss.tls = &tlsConn{tls.Server(c, sv.tls), ss}
	}
	b.SetContext(ss)
	n := sv.active.Add(1)
	b.OnGone(ss.end)
	if sv.s.preface != nil {
		if !ss.expectPreface(n) {
			return
		}
	} else if !ss.admit(n) {
		return
	}
	if d := sv.fs.ReadTimeout; d > 0 {
		// For the first byte; ServeConn, which begins with it, must not start
		// the time anew.
		c.SetReadDeadline(time.Now().Add(d))
		b.PinReadDeadline(1)
	}
}

// admit takes ss, the n-th of those that are open, in. False: it is refused, and closed.
func (ss *session) admit(n int64) bool {
	sv := ss.sv
	if limit := sv.fs.MaxConnsPerIP; limit > 0 {
		if ip, ok := ipOf(ss.nc().RemoteAddr()); ok {
			if !sv.perIP.add(ip, limit) {
				if sv.perIP.log.allow() {
					sv.logf("The number of connections from %s exceeds MaxConnsPerIP=%d", net.IP(ip[:]), limit)
				}
				ss.marks.set(told) // there is nothing to tell
				sv.reject(ss, fasthttp.StatusTooManyRequests, "The number of connections from your ip exceeds MaxConnsPerIP")
				ss.release()
				return false
			}
			ss.ip = &ip
			ss.marks.set(counted)
		}
	}
	sv.tell(ss.nc(), fasthttp.StateNew)
	return ss.hasRoom(n)
}

// hasRoom reports whether so many may be open. False: ss is refused, and closed.
func (ss *session) hasRoom(n int64) bool {
	sv := ss.sv
	limit := sv.fs.Concurrency
	if limit <= 0 {
		limit = fasthttp.DefaultConcurrency
	}
	if n <= int64(limit) {
		return true
	}
	sv.reject(ss, fasthttp.StatusServiceUnavailable, "The connection cannot be served because Server.Concurrency limit exceeded")
	ss.release() // it may linger, and takes nobody's place
	ss.tellClosed()
	if sv.fullLog.allow() {
		sv.logf("The incoming connection cannot be served, because %d concurrent connections are served. Try increasing Server.Concurrency", limit)
	}
	return false
}

// end is called when the connection is closed and all is sent or given up.
func (ss *session) end() {
	ss.uncount()
	ss.release()
	ss.marks.set(gone)
	ss.endContext(ErrClientGone)
	if ss.sv.fs.ConnState != nil {
		go ss.tellGone() // on a goroutine of its own: the loop's lock is held
	}
}

// uncount takes ss out of its client's connections: when it is closed, before
// anybody is told.
func (ss *session) uncount() {
	if ss.marks.clear(counted) {
		ss.sv.perIP.remove(*ss.ip)
	}
}

// release takes ss out of what a shutdown waits for.
func (ss *session) release() {
	if ss.marks.set(released) {
		ss.sv.active.Add(-1)
	}
}

// reject answers with an error of fasthttp's form and closes. Over TLS nothing
// can be said without a handshake.
func (sv *serving) reject(ss *session, status int, msg string) {
	sv.rejected.Add(1)
	if sv.tls == nil {
		server, date := "", ""
		if name := sv.fs.Name; name != "" {
			server = "Server: " + name + "\r\n"
		} else if !sv.fs.NoDefaultServerHeader {
			server = "Server: fasthttp\r\n"
		}
		if !sv.fs.NoDefaultDate {
			date = "Date: " + string(fasthttp.AppendHTTPDate(nil, time.Now())) + "\r\n"
		}
		fmt.Fprintf(ss.nc(), "HTTP/1.1 %d %s\r\nConnection: close\r\n%s%sContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
			status, fasthttp.StatusMessage(status), server, date, len(msg), msg)
	}
	ss.b.Conn().Close()
}

// tellClosed tells the hook of the connection's end, once.
func (ss *session) tellClosed() {
	if ss.marks.set(told) {
		ss.sv.tell(ss.nc(), fasthttp.StateClosed)
	}
}

// tellGone does so if somebody else has closed the connection, who may, and no
// burst is there to find out.
func (ss *session) tellGone() {
	if ss.marks.has(gone) && !ss.marks.has(busy) {
		ss.tellClosed()
	}
}

// Serve is conn.Handler's: a burst, and those that the worker gets behind it.
func (sv *serving) Serve(b *conn.Burst) {
	for b != nil {
		ss := b.Context().(*session)
		b = ss.sv.burst(ss)
	}
}

func (sv *serving) burst(ss *session) (next *conn.Burst) {
	ss.marks.set(busy)
	if ss.hasEnded() {
		ss.pause()
		return nil
	}
	if ss.fresh && !ss.readPreface() {
		ss.pause()
		return nil
	}
	if sv.h2 != nil && !ss.later && sv.h2.recognise(ss) {
		sv.h2.take(ss)
		return nil
	}
	ss.begin()
	return sv.serveConn(ss)
}

// hasEnded sees to a connection that is served because it has come to an end. False:
// it is for ServeConn.
func (ss *session) hasEnded() bool {
	b := ss.b
	switch b.Ended() {
	case conn.EndedShutdown:
		if ss.requests.Load() > 0 || time.Since(b.Since()) >= freshFor {
			ss.finish()
		}
		return true
	case conn.EndedTimeout:
		if ss.later {
			ss.finish() // an idle connection ends without a word
			return true
		}
	}
	if ss.later && b.Gone() {
		ss.finish() // to ServeConn it would be a new connection that has failed
		return true
	}
	return false
}

// readError is what ServeConn is to be told of a read that has ended with err. Whatever
// ends a connection between two requests, to ServeConn it would be a new one that
// has failed, and that gets an answer.
func (ss *session) readError(err error) error {
	if err != nil && ss.later && !ss.active && !ss.b.Over() {
		return io.EOF
	}
	return err
}

// begin has the deadlines wait for a request.
func (ss *session) begin() {
	if ss.later && ss.sv.timeouts {
		// The idle deadline stands until a request begins, whatever ServeConn
		// sets for what it takes for a new connection.
		ss.waiting = true
		ss.b.PinDeadlines()
	}
}

// pause ends what belongs to a burst.
func (ss *session) pause() {
	ss.marks.clear(busy)
	ss.tellGone()
}

// finish closes an idle connection.
func (ss *session) finish() {
	ss.b.AtBoundary(nil)
	ss.nc().Close()
	ss.uncount()
	ss.tellClosed()
}

// connState is the ConnState hook of each loop's server: it marks where a
// connection is between two requests, and keeps from the user what is only a
// burst's end.
func (sv *serving) connState(nc net.Conn, state fasthttp.ConnState) {
	if ln := lineOf(nc); ln != nil {
		ln.idle = state == fasthttp.StateIdle
		return
	}
	ss := sessionOf(nc)
	if ss == nil {
		return
	}
	switch state {
	case fasthttp.StateActive:
		ss.active = true
		ss.b.AtBoundary(nil)
		if ss.waiting {
			ss.waiting = false
			ss.b.UnpinDeadlines(max(sv.fs.ReadTimeout, 0))
		}
	case fasthttp.StateIdle:
		ss.active = false
		ss.endRequest()
		if ln, ok := nc.(*line); ok {
			ln.heads.inBody = false
		}
		if sv.bursts {
			ss.b.AtBoundary(sv.boundary())
		}
	case fasthttp.StateHijacked:
		ss.endRequest()
		ss.marks.set(told) // what becomes of it now is the hijacker's
		ss.release()
	case fasthttp.StateClosed:
		ss.endRequest()
		if !ss.b.Over() {
			ss.uncount()
			ss.tellClosed()
		}
		return
	}
	sv.tell(ss.nc(), state)
}

// boundary is what ends a burst: io.EOF, which fasthttp takes without a word, but not
// over TLS, which would remember it.
func (sv *serving) boundary() error {
	if sv.tls != nil {
		return conn.ErrBurstOver
	}
	return io.EOF
}

// tell calls the user's hook.
func (sv *serving) tell(nc net.Conn, state fasthttp.ConnState) {
	if hook := sv.fs.ConnState; hook != nil {
		hook(nc, state)
	}
}

// handle is the Handler of each loop's server.
func (sv *serving) handle(ctx *fasthttp.RequestCtx) {
	nc := ctx.Conn()
	if ln := lineOf(nc); ln != nil {
		ln.handle(ctx)
		return
	}
	ss := sessionOf(nc)
	ss.requests.Store(ss.requests.Load() + 1)
	ss.restore(ctx)
	sv.fs.Handler(ctx)
	// A handler that has timed out may still be running, with ctx: only its
	// answer is ours then, and what it says of hijacking does not count.
	timedOut := ctx.LastTimeoutErrorResponse()
	if timedOut == nil && ctx.Hijacked() {
		// From here on the connection is the hijacker's: he may be reading
		// before this burst has ended.
		if ln, ok := nc.(*line); ok {
			ln.hijacked.Store(true)
			ln.heads.end()
			ln.handOver(ctx)
		}
		ss.b.Detach()
		return
	}
	if ln, ok := nc.(*line); ok {
		ln.ctx = nil
		if timedOut == nil {
			fast.SetConn(ctx, ln)
			ln.ctx = ctx
		}
	}
	if limit := sv.fs.MaxRequestsPerConn; limit > 0 && ss.requests.Load() >= uint64(limit) {
		if timedOut != nil {
			timedOut.SetConnectionClose()
		} else {
			ctx.SetConnectionClose()
		}
	}
}

// perIP counts connections by client.
type perIP struct {
	mu  sync.Mutex
	n   map[[16]byte]int
	log limitedLog
}

func (p *perIP) add(ip [16]byte, limit int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == nil {
		p.n = make(map[[16]byte]int)
	}
	if p.n[ip] >= limit {
		return false
	}
	p.n[ip]++
	return true
}

func (p *perIP) remove(ip [16]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n[ip]--; p.n[ip] == 0 {
		delete(p.n, ip)
	}
}
