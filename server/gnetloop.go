//go:build linux && (amd64 || arm64)

package server

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
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

// Register implements gnet.EventLoop. What is dialled to udp is on a loop of gnet's own,
// and so is all where there is no tcp or unix address.
func (l *gnetLoop) Register(ctx context.Context, addr net.Addr) (<-chan gnet.RegisteredResult, error) {
	switch {
	case l.e.stopping.Load():
		return nil, errEngineInShutdown
	case addr == nil:
		return nil, gneterrors.ErrInvalidNetworkAddress
	}
	if _, ok := addr.(*net.UDPAddr); ok || l.e.ln == nil {
		return l.e.registerGuest(gnet.NewNetAddrContext(ctx, addr))
	}
	done := make(chan gnet.RegisteredResult, 1)
	go func() {
		nc, err := new(net.Dialer).DialContext(ctx, addr.Network(), addr.String())
		if err != nil {
			done <- gnet.RegisteredResult{Err: err}
			return
		}
		l.enroll(ctx, nc, done)
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
	if _, ok := nc.(*net.UDPConn); ok || l.e.ln == nil {
		return l.e.registerGuest(gnet.NewNetConnContext(ctx, nc))
	}
	done := make(chan gnet.RegisteredResult, 1)
	go l.enroll(ctx, nc, done)
	return done, nil
}

func (l *gnetLoop) enroll(ctx context.Context, nc net.Conn, done chan gnet.RegisteredResult) {
	if err := l.e.ln.Enroll(l.index, nc, &enrolled{gnet.FromContext(ctx), done}); err != nil {
		nc.Close()
		if errors.Is(err, net.ErrClosed) {
			err = errEngineInShutdown
		}
		done <- gnet.RegisteredResult{Err: err}
	}
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
// is inside a callback on another goroutine, or is a udp one; then it is called
// after that.
func (l *gnetLoop) Close(c gnet.Conn) error {
	if gc, ok := c.(*gnetConn); ok {
		return gc.closeFrom(nil)
	}
	return c.Close() // on its own loop, which is gnet's
}
