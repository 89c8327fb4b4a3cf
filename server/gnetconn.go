//go:build linux && (amd64 || arm64)

package server

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"

	"github.com/escahttp/esca/conn"
)

// gnetConn is the gnet.Conn of a tcp or unix connection.
type gnetConn struct {
	c    *conn.Conn
	b    *conn.Burst
	loop *gnetLoop
	tls  *gnetTLS // nil: plain

	// turn is held by whoever runs callbacks of the connection: its burst, as a
	// rule. Everything below is his.
	turn sync.Mutex

	gnetReader
	opened bool
	closed bool
	ctx    any

	draining *gnetTask // callbacks that wait until less is to be sent

	// Of any goroutine.
	tasks   atomic.Pointer[gnetTask] // from other goroutines, the last first
	safeCtx atomic.Pointer[any]
	resumed atomic.Bool // what is unread is OnTraffic's again
}

var _ gnet.Conn = (*gnetConn)(nil)

// traffic calls OnTraffic for b, or for nothing, as after a Wake.
func (c *gnetConn) traffic(b []byte) error {
	if c.closed {
		return nil
	}
	if len(b) > 0 {
		c.feed(b)
	}
	action := c.loop.e.g.h.OnTraffic(c)
	if !c.closed {
		c.keep()
	}
	return c.act(action)
}

// act does what a callback has returned. What it returns is what gnet tells whoever
// has asked for the callback.
func (c *gnetConn) act(action gnet.Action) error {
	switch action {
	case gnet.Close:
		return c.close(nil)
	case gnet.Shutdown:
		c.loop.e.shutdown()
		return gneterrors.ErrEngineShutdown
	}
	return nil
}

// close closes the connection for err, and tells the application, once. What was
// written before, and in OnClose, is still sent.
func (c *gnetConn) close(err error) error {
	if c.closed {
		return nil
	}
	c.closed = true
	if !c.opened { // it is still in its handshake
		c.c.Close()
		return nil
	}
	c.loop.e.conns.Add(-1)
	action := c.loop.e.g.h.OnClose(c, err)
	if c.tls != nil {
		c.tls.Close()
	} else {
		c.c.Close()
	}
	c.in, c.ctx = nil, nil
	c.safeCtx.Store(nil)
	c.runTasks() // those that have come before; later ones find it closed
	c.runDrained()
	return c.act(action)
}

// closeFrom is close by whoever is inside some callback, perhaps another
// connection's.
func (c *gnetConn) closeFrom(err error) error {
	switch {
	case c.b.ByWorker():
		return c.close(err)
	case c.turn.TryLock():
		defer c.turn.Unlock()
		return c.close(err)
	}
	c.submit(&gnetTask{kind: taskClose, err: err})
	return nil
}

// Write implements gnet.Writer: p is queued, or sent if it is long, and not kept.
func (c *gnetConn) Write(p []byte) (int, error) {
	var err error
	if c.tls != nil {
		_, err = c.tls.Write(p)
	} else {
		_, err = c.b.Enqueue(p)
	}
	if err != nil {
		return 0, c.failed("write", err)
	}
	return len(p), nil
}

// Writev implements gnet.Writer.
func (c *gnetConn) Writev(bs [][]byte) (n int, err error) {
	for _, p := range bs {
		m, err := c.Write(p)
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// ReadFrom implements gnet.Writer: it writes all that r has.
func (c *gnetConn) ReadFrom(r io.Reader) (n int64, err error) {
	e := c.loop.e
	b := e.buffers.Get().(*[]byte)
	defer e.buffers.Put(b)
	return io.CopyBuffer(onlyWriter{c}, onlyReader{r}, *b)
}

// onlyWriter and onlyReader hide methods that io.CopyBuffer would rather use.
type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }

// failed closes a connection that cannot be written to, as gnet does, and returns
// the system's error as it is.
func (c *gnetConn) failed(call string, err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		c.closeFrom(os.NewSyscallError(call, errno))
		return errno
	}
	if errors.Is(err, net.ErrClosed) {
		return net.ErrClosed
	}
	return err
}

// SendTo implements gnet.Writer; it is for udp.
func (c *gnetConn) SendTo([]byte, net.Addr) (int, error) { return 0, gneterrors.ErrUnsupportedOp }

// Flush implements gnet.Writer.
func (c *gnetConn) Flush() error {
	if err := c.b.Flush(); err != nil {
		return c.failed("write", err)
	}
	return nil
}

// OutboundBuffered implements gnet.Writer: what the kernel has not taken yet,
// which is also what waits for the tick to end.
func (c *gnetConn) OutboundBuffered() int { return c.b.Queued() }

// Context implements gnet.Conn.
func (c *gnetConn) Context() any { return c.ctx }

// SetContext implements gnet.Conn.
func (c *gnetConn) SetContext(ctx any) { c.ctx = ctx }

// SafeContext implements gnet.Conn.
func (c *gnetConn) SafeContext() any {
	if p := c.safeCtx.Load(); p != nil {
		return *p
	}
	return nil
}

// SetSafeContext implements gnet.Conn.
func (c *gnetConn) SetSafeContext(ctx any) { c.safeCtx.Store(&ctx) }

// EventLoop implements gnet.Conn.
func (c *gnetConn) EventLoop() gnet.EventLoop { return c.loop }
