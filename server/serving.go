//go:build linux && (amd64 || arm64)

package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server/internal/fast"
)

// serving is one Serve: the conn.Handler of its listener.
//
// fasthttp arms ctx.Done, CloseOnShutdown and the wait of Shutdown in its own
// Serve. So fs.Serve runs, but on a listener that never accepts (parked), and
// returns when the last connection has gone, even if the listener was closed long
// before: for as long fs.Shutdown has something to wait for. It is one listener, as
// Shutdown keeps fs's lock while it waits: a second could not be brought to fs any
// more. And because ServeConn takes locks of its server for each burst, each loop has
// a server of its own with fs's settings, armed in the same way.
type serving struct {
	s        *Server
	fs       *fasthttp.Server
	ln       *conn.Listener
	tls      *tls.Config
	parked   *fast.Parked
	loops    []*loopServer
	timeouts bool // some setting moves deadlines
	bursts   bool // connections may give up their worker between requests
	lines    bool // and a ServeConn may go on with another
	h2       *h2  // nil: no HTTP/2

	base    context.Context // of what server.Context and http2 give to handlers: done when the server stops
	stopped context.CancelCauseFunc

	perIP    perIP
	active   atomic.Int64 // connections that a shutdown waits for
	rejected atomic.Uint64
	stopping atomic.Bool
	stopOnce sync.Once
	fullLog  limitedLog
}

// loopServer is the fasthttp.Server of one loop.
type loopServer struct {
	*fasthttp.Server
	parked *fast.Parked
}

// serve is fasthttp's ServeConn, and forgets nc also if a handler has ended the goroutine.
func (ls *loopServer) serve(nc net.Conn) error {
	returned := false
	defer func() {
		if !returned {
			fast.Forget(ls.Server, nc)
		}
	}()
	err := ls.ServeConn(nc)
	returned = true
	return err
}

func newServing(s *Server, ln *conn.Listener, cfg *tls.Config) (*serving, error) {
	fs := s.fs
	sv := &serving{s: s, fs: fs, ln: ln, tls: cfg}
	sv.timeouts = fs.ReadTimeout > 0 || fs.WriteTimeout > 0 || fs.IdleTimeout > 0 || fs.HeaderReceived != nil
	sv.bursts = fast.Known()
	sv.lines = sv.bursts && cfg == nil && !fs.ReduceMemoryUsage
	sv.base, sv.stopped = context.WithCancelCause(context.Background())
	sv.h2 = newH2(sv)
	sv.parked = fast.NewParked(ln.Addr(), sv.stop)
	for range ln.Loops() {
		ls := &loopServer{Server: sv.settings(), parked: fast.NewParked(ln.Addr(), nil)}
		sv.loops = append(sv.loops, ls)
	}
	if fs.TCPKeepalive {
		if err := ln.SetKeepAlive(fs.TCPKeepalivePeriod); err != nil && ln.Addr().Network() != "unix" {
			return nil, err
		}
	}
	return sv, nil
}

// run serves until the listener is closed or the server shut down.
func (sv *serving) run() error {
	for _, ls := range sv.loops {
		go ls.Serve(ls.parked)
		<-ls.parked.Armed
	}
	go sv.fs.Serve(sv.parked)
	<-sv.parked.Armed
	if err := sv.ln.Serve(sv); !errors.Is(err, net.ErrClosed) {
		if !errors.Is(err, conn.ErrInUse) {
			sv.ln.Close()
		}
		sv.release()
		return err
	}
	if sv.stopping.Load() {
		<-sv.parked.Released
		return nil
	}
	// The listener was closed, not the server shut down: connections go on.
	go func() {
		sv.ln.Wait()
		sv.release()
	}()
	return nil
}

// release lets the parked Serve calls return.
func (sv *serving) release() {
	sv.parked.Release()
	for _, ls := range sv.loops {
		ls.parked.Release()
	}
	sv.stopped(http.ErrServerClosed)
	sv.s.forget(sv)
}

// stop is called when fs, being shut down, closes the listener it has.
func (sv *serving) stop() {
	sv.stopOnce.Do(func() {
		sv.stopping.Store(true)
		sv.stopped(http.ErrServerClosed)
		for _, ls := range sv.loops {
			go ls.Shutdown() // fires ctx.Done; ends when its parked Serve does
		}
		sv.ln.Close()
		go sv.drain()
	})
}

// drain closes idle connections until there is none left. It looks again and
// again, as connections become idle, and as new ones that have not sent anything
// count as idle after a while.
func (sv *serving) drain() {
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for {
		sv.ln.CloseIdle()
		if sv.h2 != nil {
			sv.h2.goAway()
		}
		if sv.ln.Drained() && sv.active.Load() == 0 {
			break
		}
		<-t.C
	}
	sv.release()
}

// limitedLog lets a line through once a minute.
type limitedLog struct{ last atomic.Int64 }

func (l *limitedLog) allow() bool {
	now, last := time.Now().UnixNano(), l.last.Load()
	return now-last > int64(time.Minute) && l.last.CompareAndSwap(last, now)
}

// logError logs what a connection has ended with, unless it is of the kind that
// clients cause all the time; fasthttp's rule (workerPool).
func (sv *serving) logError(nc net.Conn, err error) {
	if err == nil {
		return
	}
	if !sv.fs.LogAllErrors {
		if errors.Is(err, fasthttp.ErrBadTrailer) || errors.Is(err, net.ErrClosed) { // who closed it has said why
			return
		}
		text := err.Error()
		for _, common := range [...]string{"broken pipe", "reset by peer", "request headers: " + fasthttp.ErrSmallReadBuffer.Error(), "unexpected EOF", "i/o timeout"} {
			if strings.Contains(text, common) {
				return
			}
		}
	}
	sv.logf("error when serving connection %q<->%q: %v", nc.LocalAddr(), nc.RemoteAddr(), err)
}
