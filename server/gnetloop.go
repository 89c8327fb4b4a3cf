//go:build linux && (amd64 || arm64)

package server

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"

	"github.com/escahttp/esca/conn"
)

// gnetLoop is the gnet.EventLoop of a loop.
type gnetLoop struct {
	e     *gnetEngine
	of    gnetLoops
	index int // below zero: whichever a new connection is to go to
}

// gnetLoops is a conn.Listener, or a conn.PacketListener.
type gnetLoops interface {
	Serial() bool
	Execute(loop int, f func()) bool
	Do(loop int, f func()) bool
	EnrollPackets(loop int, nc net.Conn, h conn.PacketHandler, opened func(*conn.PacketPeer, error)) error
	Loops() int
	Backend() string
}

// run has the loop run f, which is the application's. False: it has ended.
func (l *gnetLoop) run(f func()) bool {
	of, index := l.of, l.index
	if l.e.serial() {
		of, index = l.e.first(), 0
	}
	return of.Execute(index, f)
}

var _ gnet.EventLoop = (*gnetLoop)(nil)

// loopOf is the loop with that index.
func (e *gnetEngine) loopOf(of gnetLoops, index int) *gnetLoop {
	for _, u := range e.udp {
		if of == u.ln {
			return u.loops[index]
		}
	}
	return e.loops[index]
}

// Register implements gnet.EventLoop. Where there is no tcp or unix address, what is
// dialled to one is on a loop of gnet's own.
func (l *gnetLoop) Register(ctx context.Context, addr net.Addr) (<-chan gnet.RegisteredResult, error) {
	switch {
	case l.e.stopping.Load():
		return nil, errEngineInShutdown
	case addr == nil:
		return nil, gneterrors.ErrInvalidNetworkAddress
	}
	_, udp := addr.(*net.UDPAddr)
	if !udp && l.e.ln == nil {
		return l.e.registerGuest(gnet.NewNetAddrContext(ctx, addr))
	}
	done := make(chan gnet.RegisteredResult, 1)
	go func() {
		nc, err := new(net.Dialer).DialContext(ctx, addr.Network(), addr.String())
		if err != nil {
			tellRegistered(done, nil, err)
			return
		}
		if udp {
			l.enrollPeer(ctx, nc, done)
		} else {
			l.enroll(ctx, nc, done)
		}
	}()
	return done, nil
}

// Enroll implements gnet.EventLoop.
func (l *gnetLoop) Enroll(ctx context.Context, nc net.Conn) (<-chan gnet.RegisteredResult, error) {
	switch {
	case l.e.stopping.Load():
		return nil, errEngineInShutdown
	case nc == nil:
		return nil, gneterrors.ErrInvalidNetConn
	}
	done := make(chan gnet.RegisteredResult, 1)
	_, udp := nc.(*net.UDPConn)
	switch {
	case udp:
		go l.enrollPeer(ctx, nc, done)
	case l.e.ln == nil:
		return l.e.registerGuest(gnet.NewNetConnContext(ctx, nc))
	default:
		go l.enroll(ctx, nc, done)
	}
	return done, nil
}

func (l *gnetLoop) enroll(ctx context.Context, nc net.Conn, done chan gnet.RegisteredResult) {
	if err := l.e.ln.Enroll(l.index, nc, &enrolled{gnet.FromContext(ctx), done}); err != nil {
		nc.Close()
		tellRegistered(done, nil, ended(err))
	}
}

// tellRegistered tells who has called Register or Enroll what has come of it.
func tellRegistered(done chan<- gnet.RegisteredResult, c gnet.Conn, err error) {
	done <- gnet.RegisteredResult{Conn: c, Err: err} // of capacity one
	close(done)
}

// Execute implements gnet.EventLoop.
func (l *gnetLoop) Execute(ctx context.Context, runnable gnet.Runnable) error {
	switch {
	case l.e.stopping.Load():
		return errEngineInShutdown
	case runnable == nil:
		return gneterrors.ErrNilRunnable
	}
	ok := l.run(func() {
		switch err := runnable.Run(ctx); {
		case errors.Is(err, gneterrors.ErrEngineShutdown):
			l.e.shutdown()
		case err != nil:
			l.e.set.Logger.Warnf("esca: a Runnable of an event-loop has returned: %v", err)
		}
	})
	if !ok {
		return errEngineInShutdown
	}
	return nil
}

// Schedule implements gnet.EventLoop, which gnet itself does not: runnable is
// executed once delay has passed, unless ctx is done by then.
func (l *gnetLoop) Schedule(ctx context.Context, runnable gnet.Runnable, delay time.Duration) error {
	switch {
	case l.e.stopping.Load():
		return errEngineInShutdown
	case runnable == nil:
		return gneterrors.ErrNilRunnable
	}
	time.AfterFunc(delay, func() {
		if ctx.Err() == nil {
			l.Execute(ctx, runnable)
		}
	})
	return nil
}

// Close implements gnet.EventLoop: OnClose is called before it returns, unless c
// is inside a callback on another goroutine, or c is a udp one that is inside its own;
// then it is called after that.
func (l *gnetLoop) Close(c gnet.Conn) error {
	switch c := c.(type) {
	case *gnetConn:
		return c.closeFrom(nil)
	case *gnetPeer:
		return c.closeFrom()
	}
	return c.Close() // a datagram's, or on its own loop, which is gnet's
}
