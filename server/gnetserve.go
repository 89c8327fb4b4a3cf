//go:build linux && (amd64 || arm64)

package server

import (
	"os"

	"github.com/panjf2000/gnet/v2"

	"github.com/escahttp/esca/conn"
)

// enrolled is what Open finds on a connection that the application has brought.
type enrolled struct {
	ctx    any
	opened chan<- gnet.RegisteredResult
}

// Open is conn.Handler's: a connection was accepted, or registered.
func (e *gnetEngine) Open(b *conn.Burst) {
	cc := b.Conn()
	c := &gnetConn{c: cc, b: b, loop: e.loops[b.Loop()]}
	own, _ := b.Context().(*enrolled)
	b.SetContext(c)
	c.turn.Lock()
	defer c.turn.Unlock()
	switch {
	case e.stopping.Load():
		c.closed = true
		cc.SetLinger(0) // as the kernel resets what it has not given away
		cc.Close()
		if own != nil {
			tellRegistered(own.opened, nil, errEngineInShutdown)
		}
		return
	case own != nil:
		c.SetContext(own.ctx)
		c.SetSafeContext(own.ctx)
		c.open()
		tellRegistered(own.opened, c, nil)
	case e.set.tls != nil:
		c.tls = newGnetTLS(c, e.set.tls)
	default:
		c.open()
	}
}

// open tells the application of the connection.
func (c *gnetConn) open() {
	c.opened = true
	c.loop.e.conns.Add(1)
	out, action := c.loop.e.g.h.OnOpen(c)
	if len(out) > 0 && !c.closed {
		c.Write(out)
	}
	c.act(action)
}

// Serve is conn.Handler's: a burst.
func (e *gnetEngine) Serve(b *conn.Burst) {
	c := b.Context().(*gnetConn)
	c.turn.Lock()
	defer c.turn.Unlock()
	c.runTasks()
	c.runDrained()
	switch {
	case c.closed:
	case b.Ended() == conn.EndedShutdown || e.stopping.Load():
		c.close(nil)
	case b.Ended() == conn.EndedTimeout:
		c.close(os.ErrDeadlineExceeded)
	case c.tls != nil:
		c.serveTLS()
	default:
		c.serve()
	}
}

// leftover gives the application what it had left unread when it paused the connection.
func (c *gnetConn) leftover() {
	if c.resumed.Load() && !c.b.Paused() && c.resumed.Swap(false) && len(c.in) > 0 {
		c.traffic(nil)
	}
}

// serve gives the application what has come, a read at a time, until there is no
// more, or it is the neighbours' turn.
func (c *gnetConn) serve() {
	e := c.loop.e
	c.leftover()
	var buf *[]byte
	for left := e.set.turn; left > 0 && !c.closed; {
		b, more, err := c.b.Input()
		if err != nil {
			c.close(err)
			break
		}
		if more && len(b) < e.set.ReadBufferCap {
			// It did not fit into a slot: what the socket holds goes behind it.
			if buf == nil {
				buf = e.buffers.Get().(*[]byte)
			}
			n := copy(*buf, b)
			n += c.b.TryRead((*buf)[n:])
			b = (*buf)[:n]
		}
		if len(b) > 0 {
			left -= len(b)
			c.traffic(b)
		} else if !more {
			break
		}
		if !more {
			break
		}
	}
	if buf != nil {
		e.buffers.Put(buf)
	}
}
