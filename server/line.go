//go:build linux && (amd64 || arm64)

package server

import (
	"net"
	"reflect"
	"sync/atomic"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server/internal/fast"
)

// line is the connection that a ServeConn believes to have: one after the other, each
// for a burst. To begin and to end a ServeConn costs as much as a small request (a
// map and its lock, counters, pools, clocks), so a worker's does not return at the
// end of a burst but goes on, as if in the same connection, with the request that
// the worker gets next. It sees a keep-alive connection that is idle in between.
//
// So a line goes on only where a keep-alive connection would behave as a new one
// does: with one that has sent something. What fasthttp keeps of a connection in
// a RequestCtx is set for each request (restore), and reset before the next (goOn).
type line struct {
	*conn.Conn // the connection of ss
	ss         *session
	cur        atomic.Pointer[session] // ss; nil: none. For who comes from outside
	hijacked   atomic.Bool             // it stays with this connection, which is somebody's
	ctx        *fasthttp.RequestCtx    // of the last request, if it is to be used again
	next       *conn.Burst             // got, and to be served by a ServeConn of its own
	heads      heads
	ids        *fasthttp.RequestCtx // where fasthttp's numbers for further connections come from
}

// identify gives ss, which the line has gone on with, a number if it has none: that of
// the RequestCtx is of the line's first connection.
func (ln *line) identify(ss *session) {
	if ss.id != 0 {
		return
	}
	if ln.ids == nil {
		ln.ids = new(fasthttp.RequestCtx)
	}
	ln.ids.Init2(nil, nil, true)
	ss.id = ln.ids.ConnID()
}

func (ln *line) take(ss *session) {
	ln.ss, ln.Conn = ss, ss.b.Conn()
	ln.cur.Store(ss)
	ln.heads.begin()
}

// Read is Conn's. At the end of a burst it waits for the worker's next. Who reads from
// another goroutine, as a hijacker, has the connection as it is.
func (ln *line) Read(p []byte) (int, error) {
	if err := ln.heads.wait(); err != nil {
		return 0, err
	}
	for {
		n, err := ln.Conn.Read(p)
		ln.heads.add(p[:n])
		if err == nil || !ln.ss.b.ByWorker() {
			return n, err
		}
		if !ln.ss.b.Over() || !ln.goOn() {
			return n, ln.readError(err)
		}
	}
}

// readError is the session's, while there is one.
func (ln *line) readError(err error) error {
	if ln.ss == nil {
		return err
	}
	return ln.ss.readError(err)
}

// goOn ends the burst and waits for another connection. False: the ServeConn ends.
func (ln *line) goOn() bool {
	ss := ln.ss
	sv := ss.sv
	if sv.stopping.Load() {
		return false
	}
	if ln.ctx != nil {
		ln.ctx.SetRemoteAddr(nil) // which a handler may have set
		ln.ctx = nil
	}
	ss.later = true
	ss.pause()
	next, ended := ss.b.Next()
	if !ended {
		ss.marks.set(busy)
		return false
	}
	ln.cur.Store(nil) // the connection may be another worker's by now
	ln.ss = nil
	if next == nil {
		return false
	}
	ss = next.Context().(*session)
	if ss.sv != sv || sv.stopping.Load() || ss.fresh || !next.Readable() || sv.h2 != nil && !ss.later { // it may be HTTP/2's
		ln.next = next
		return false
	}
	ss.marks.set(busy)
	ss.begin()
	ln.identify(ss)
	ln.take(ss)
	return true
}

// Close is for ServeConn, which calls it as it ends, and for a hijacker. A server
// that is shut down closes what it takes for idle connections: those are closed by
// the serving itself.
func (ln *line) Close() error {
	ss := ln.cur.Load()
	if ss == nil || !ln.hijacked.Load() && !ss.b.ByWorker() {
		return nil
	}
	return ss.nc().Close()
}

// handOver has the hijacker get the connection itself: UnsafeConn is what ctx.Conn and
// ConnState have shown, and not the line.
func (ln *line) handOver(ctx *fasthttp.RequestCtx) {
	nc := ln.ss.nc()
	h := fast.Hijacker(ctx)
	hijacker := *h
	*h = func(c net.Conn) {
		if over := reflect.ValueOf(c); over.Kind() == reflect.Pointer {
			if f := reflect.Indirect(over).FieldByName("Conn"); f.CanSet() {
				f.Set(reflect.ValueOf(nc))
			}
		}
		hijacker(c)
	}
}

// sessionOf returns the session of what a ServeConn has for its connection; nil: a
// line that has none.
func sessionOf(nc net.Conn) *session {
	switch nc := nc.(type) {
	case *line:
		return nc.ss
	case *tlsConn:
		return nc.ss
	}
	return conn.BurstOf(nc.(*conn.Conn)).Context().(*session)
}

// serveConn has a ServeConn serve ss, and behind it what else the worker gets. The
// result is a burst that it has got and not served.
func (sv *serving) serveConn(ss *session) (next *conn.Burst) {
	ls := sv.loops[ss.b.Loop()]
	if !sv.lines {
		sv.endServeConn(ss, ls.serve(ss.nc()))
		return nil
	}
	ln := &line{heads: heads{check: sv.s.checkHead}}
	ln.take(ss)
	err := ls.serve(ln)
	if ln.ss != nil {
		sv.endServeConn(ln.ss, err)
	}
	return ln.next
}

// endServeConn sees to a connection whose ServeConn has returned.
func (sv *serving) endServeConn(ss *session, err error) {
	if ss.b.Over() {
		ss.later = true
		if sv.stopping.Load() {
			ss.finish()
		}
	} else {
		sv.logError(ss.nc(), err)
	}
	ss.pause()
}
