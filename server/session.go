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
)

// freshFor is how long a connection that has not sent anything is spared by a
// shutdown, as by fasthttp's.
const freshFor = 5 * time.Second

// session is what lasts of a connection from one burst to the next.
type session struct {
	sv *serving
	c  *conn.Conn
	nc net.Conn // what handlers and hooks see: c, or TLS over it

	boundary error // what ends a burst

	id       uint64
	since    time.Time
	requests uint64

	later    bool        // the first burst is over
	waiting  bool        // a later burst has not seen its request begin
	busy     atomic.Bool // a burst is under way
	gone     atomic.Bool // it is closed, and all is sent
	told     atomic.Bool // the hook has been told of its end
	released atomic.Bool // a shutdown does not wait for it
	counted  atomic.Bool // among its client's connections
	ip       [16]byte
}

// tlsConn is TLS over a Conn. It outlives bursts, and so does not end with one.
type tlsConn struct {
	*tls.Conn
	ss *session
}

// Close ends the connection; at the end of a burst it does nothing, as Conn's.
func (t *tlsConn) Close() error {
	if t.ss.c.ByWorker() && t.ss.c.BurstOver() {
		return nil
	}
	return t.Conn.Close()
}

// Open is conn.Handler's: a connection was accepted.
func (sv *serving) Open(c *conn.Conn) {
	ss := &session{sv: sv, c: c, nc: c, boundary: io.EOF} // which fasthttp takes without a word
	if sv.tls != nil {
		ss.nc = &tlsConn{tls.Server(c, sv.tls), ss}
		ss.boundary = conn.ErrBurstOver
	}
	c.SetContext(ss)
	if limit := sv.fs.MaxConnsPerIP; limit > 0 {
		var ok bool
		if ss.ip, ok = ipOf(c.RemoteAddr()); ok {
			if !sv.perIP.add(ss.ip, limit) {
				if sv.perIP.log.allow() {
					sv.logf("The number of connections from %s exceeds MaxConnsPerIP=%d", net.IP(ss.ip[:]), limit)
				}
				sv.reject(ss, fasthttp.StatusTooManyRequests, "The number of connections from your ip exceeds MaxConnsPerIP")
				return
			}
			ss.counted.Store(true)
		}
	}
	n := sv.active.Add(1)
	c.OnGone(func() {
		ss.uncount()
		ss.release()
		ss.gone.Store(true)
		if sv.fs.ConnState != nil {
			go ss.tellGone() // aside: the loop's lock is held
		}
	})
	sv.tell(ss.nc, fasthttp.StateNew)
	limit := sv.fs.Concurrency
	if limit <= 0 {
		limit = fasthttp.DefaultConcurrency
	}
	if n > int64(limit) {
		sv.reject(ss, fasthttp.StatusServiceUnavailable, "The connection cannot be served because Server.Concurrency limit exceeded")
		ss.tellClosed()
		if sv.fullLog.allow() {
			sv.logf("The incoming connection cannot be served, because %d concurrent connections are served. Try increasing Server.Concurrency", limit)
		}
		return
	}
	if d := sv.fs.ReadTimeout; d > 0 {
		// For the first byte; ServeConn, which begins with it, must not start
		// the time anew.
		c.SetReadDeadline(time.Now().Add(d))
		c.KeepReadDeadline(1)
	}
}

// uncount takes ss out of its client's connections: when it is closed, before
// anybody is told.
func (ss *session) uncount() {
	if ss.counted.Swap(false) {
		ss.sv.perIP.remove(ss.ip)
	}
}

// release takes ss out of what a shutdown waits for.
func (ss *session) release() {
	if !ss.released.Swap(true) {
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
		fmt.Fprintf(ss.c, "HTTP/1.1 %d %s\r\nConnection: close\r\n%s%sContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
			status, fasthttp.StatusMessage(status), server, date, len(msg), msg)
	}
	ss.c.Close()
}

// tellClosed tells the hook of the connection's end, once.
func (ss *session) tellClosed() {
	if !ss.told.Swap(true) {
		ss.sv.tell(ss.nc, fasthttp.StateClosed)
	}
}

// tellGone does so if somebody else has closed the connection, who may, and no
// burst is there to find out.
func (ss *session) tellGone() {
	if ss.gone.Load() && !ss.busy.Load() {
		ss.tellClosed()
	}
}

// Serve is conn.Handler's: a burst.
func (sv *serving) Serve(c *conn.Conn) {
	ss := c.Context().(*session)
	ss.busy.Store(true)
	sv.burst(ss, c)
	ss.busy.Store(false)
	ss.tellGone()
}

func (sv *serving) burst(ss *session, c *conn.Conn) {
	switch c.Ended() {
	case conn.EndedShutdown:
		if ss.requests == 0 && time.Since(c.Since()) < freshFor {
			return
		}
		ss.finish()
		return
	case conn.EndedTimeout:
		if ss.later {
			ss.finish() // an idle connection ends without a word
			return
		}
	}
	if ss.later && c.Gone() {
		ss.finish() // to ServeConn it would be a new connection that has failed
		return
	}
	if ss.later && sv.timeouts {
		// The idle deadline stands until a request begins, whatever ServeConn
		// sets for what it takes for a new connection.
		ss.waiting = true
		c.HoldDeadlines()
	}
	err := sv.loops[c.Loop()].ServeConn(ss.nc)
	if c.BurstOver() {
		ss.later = true
		if sv.stopping.Load() {
			ss.finish()
		}
		return
	}
	sv.logError(ss.nc, err)
}

// finish closes an idle connection.
func (ss *session) finish() {
	ss.c.AtBoundary(nil)
	ss.nc.Close()
	ss.uncount()
	ss.tellClosed()
}

// connState is the ConnState hook of each loop's server: it marks where a
// connection is between two requests, and keeps from the user what is only a
// burst's end.
func (sv *serving) connState(nc net.Conn, state fasthttp.ConnState) {
	ss := sessionOf(nc)
	switch state {
	case fasthttp.StateActive:
		ss.c.AtBoundary(nil)
		if ss.waiting {
			ss.waiting = false
			ss.c.FreeDeadlines(max(sv.fs.ReadTimeout, 0))
		}
	case fasthttp.StateIdle:
		if sv.bursts {
			ss.c.AtBoundary(ss.boundary)
		}
	case fasthttp.StateHijacked:
		ss.told.Store(true) // what becomes of it now is the hijacker's
		ss.release()
	case fasthttp.StateClosed:
		if !ss.c.BurstOver() {
			ss.uncount()
			ss.tellClosed()
		}
		return
	}
	sv.tell(nc, state)
}

// tell calls the user's hook.
func (sv *serving) tell(nc net.Conn, state fasthttp.ConnState) {
	if hook := sv.fs.ConnState; hook != nil {
		hook(nc, state)
	}
}

func sessionOf(nc net.Conn) *session {
	if t, ok := nc.(*tlsConn); ok {
		return t.ss
	}
	return nc.(*conn.Conn).Context().(*session)
}

// handle is the Handler of each loop's server.
func (sv *serving) handle(ctx *fasthttp.RequestCtx) {
	ss := sessionOf(ctx.Conn())
	ss.requests++
	ss.restore(ctx)
	sv.fs.Handler(ctx)
	// A handler that has timed out may still be running, with ctx: only its
	// answer is ours then, and what it says of hijacking does not count.
	timedOut := ctx.LastTimeoutErrorResponse()
	if timedOut == nil && ctx.Hijacked() {
		// From here on the connection is the hijacker's: he may be reading
		// before this burst has ended.
		ss.c.Detach()
		return
	}
	if limit := sv.fs.MaxRequestsPerConn; limit > 0 && ss.requests >= uint64(limit) {
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
