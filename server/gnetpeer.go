//go:build linux && (amd64 || arm64)

package server

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"

	"github.com/escahttp/esca/conn"
)

// gnetPeer is the gnet.Conn of a udp socket that was registered, which is connected. gnet
// serves such a one as it serves a stream, a datagram at a time: what OnTraffic leaves
// unread stands before the next, and an error, as that nobody is there, closes it. But
// for gnet an empty datagram is the end, and here it is a datagram.
type gnetPeer struct {
	gnetPackets
	e    *gnetEngine
	peer *conn.PacketPeer

	// turn is held by whoever runs callbacks, and until it is open. What is below is his.
	turn   sync.Mutex
	closed bool
}

var (
	_ gnet.Conn          = (*gnetPeer)(nil)
	_ conn.PacketHandler = (*gnetPeer)(nil)
)

// enrollPeer has loop l serve nc.
func (l *gnetLoop) enrollPeer(ctx context.Context, nc net.Conn, done chan gnet.RegisteredResult) {
	c := &gnetPeer{e: l.e}
	c.ctx = gnet.FromContext(ctx)
	c.SetSafeContext(c.ctx)
	c.turn.Lock()
	err := l.of.EnrollPackets(l.index, nc, c, func(peer *conn.PacketPeer, err error) {
		if err == nil {
			c.peer, c.sock, c.loop = peer, peer, l.e.loopOf(l.of, peer.Loop())
			l.e.alone(func() { err = c.open() })
		}
		if err != nil {
			tellRegistered(done, nil, err)
			return
		}
		tellRegistered(done, c, nil)
	})
	if err != nil {
		nc.Close()
		tellRegistered(done, nil, ended(err))
	}
}

// ended is gnet's error for loops that are gone.
func ended(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return errEngineInShutdown
	}
	return err
}

// open tells the application of c, and ends the turn that it has begun with.
func (c *gnetPeer) open() error {
	e := c.e
	defer c.turn.Unlock()
	e.peers.Store(c, nil)
	if e.stopping.Load() { // it may have looked for peers before c was one
		e.peers.Delete(c)
		c.closed = true
		c.peer.Close()
		return errEngineInShutdown
	}
	e.conns.Add(1)
	out, action := e.g.h.OnOpen(c)
	if len(out) > 0 && !c.closed {
		c.Write(out)
	}
	c.act(action)
	return nil
}

// act does what a callback has returned.
func (c *gnetPeer) act(action gnet.Action) error {
	switch action {
	case gnet.Close:
		return c.close(nil)
	case gnet.Shutdown:
		c.e.shutdown()
		return gneterrors.ErrEngineShutdown
	}
	return nil
}

// Serve is conn.PacketHandler's.
func (c *gnetPeer) Serve(p *conn.Packets) { c.e.alone(func() { c.serve(p) }) }

func (c *gnetPeer) serve(p *conn.Packets) {
	e := c.e
	c.turn.Lock()
	defer c.turn.Unlock()
	c.enter(p)
	defer c.enter(nil)
	for !c.closed && !e.closed.Load() && p.Next() {
		c.feed(p.Data())
		c.traffic()
	}
	if err := c.peer.Err(); err != nil {
		c.close(os.NewSyscallError("read", bare(err)))
	}
}

// traffic calls OnTraffic for what is unread, or for nothing.
func (c *gnetPeer) traffic() error {
	action := c.e.g.h.OnTraffic(c)
	if !c.closed {
		c.keep()
	}
	return c.act(action)
}

// close closes the socket for err, and tells the application, once. What was sent before,
// and in OnClose, still leaves.
func (c *gnetPeer) close(err error) error {
	if c.closed {
		return nil
	}
	c.closed = true
	e := c.e
	e.peers.Delete(c)
	e.conns.Add(-1)
	action := e.g.h.OnClose(c, err)
	c.enter(nil) // what OnTraffic may still answer is the closed socket's
	c.peer.Close()
	c.in, c.ctx = nil, nil
	c.safeCtx.Store(nil)
	return c.act(action)
}

// closeFrom is close by whoever is inside some callback: its own, and then it comes after
// that, or another connection's.
func (c *gnetPeer) closeFrom() error {
	if c.turn.TryLock() {
		defer c.turn.Unlock()
		return c.close(nil)
	}
	return c.Close()
}

// inTurn has the loop run f, in turn; where it has ended, a goroutine.
func (c *gnetPeer) inTurn(f func()) {
	run := func() {
		c.turn.Lock()
		defer c.turn.Unlock()
		f()
	}
	if !c.loop.run(run) {
		go run()
	}
}

// Write implements gnet.Writer: it sends a datagram to the peer.
func (c *gnetPeer) Write(b []byte) (int, error) {
	return c.send(b, func(p *conn.Packets) bool { return p.Reply(b) },
		func() (int, error) { return c.peer.Write(b) })
}

// AsyncWrite implements gnet.Writer. As with gnet the callback is called before it
// returns.
func (c *gnetPeer) AsyncWrite(b []byte, callback gnet.AsyncCallback) error {
	_, err := c.Write(b)
	if callback != nil {
		_ = callback(c, err)
	}
	return err
}

// Wake implements gnet.Conn: OnTraffic is called though nothing has come.
func (c *gnetPeer) Wake(callback gnet.AsyncCallback) error {
	c.inTurn(func() {
		var err error
		if !c.closed {
			err = c.traffic()
		}
		c.tell(callback, err)
	})
	return nil
}

// CloseWithCallback implements gnet.Conn.
func (c *gnetPeer) CloseWithCallback(callback gnet.AsyncCallback) error {
	c.inTurn(func() { c.tell(callback, c.close(nil)) })
	return nil
}

// tell calls callback, if there is one.
func (c *gnetPeer) tell(callback gnet.AsyncCallback, err error) {
	if callback != nil {
		_ = callback(c, err) // gnet, too, has nobody to tell what it returns
	}
}

// Close implements gnet.Conn.
func (c *gnetPeer) Close() error { return c.CloseWithCallback(nil) }

// RemoteAddr implements gnet.Conn.
func (c *gnetPeer) RemoteAddr() net.Addr { return c.peer.RemoteAddr() }

// Fd implements gnet.Socket; -1 once it is closed.
func (c *gnetPeer) Fd() int { return c.peer.FD() }
