//go:build linux && (amd64 || arm64)

package server

import (
	"net"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
)

// Pause has c take in nothing more, from the callback under way on: no OnTraffic comes,
// and what the peer sends stays in the kernel's buffers, until they are full and the peer
// is stopped. In memory is no more than there was, of TLS a record. What the peer has
// sent is not lost, and comes after Resume; so does OnClose if the peer has closed. What
// is written to c is sent meanwhile, AsyncWrite, Wake's callback and Close work, deadlines
// count, and if a write fails OnClose comes at once. Pausing twice is pausing once.
//
// c is a tcp or unix connection of Run's, Rotate's or a Gnet's; of others it is gnet's
// ErrUnsupportedOp, and of one that is closed net.ErrClosed. Any goroutine.
func Pause(c gnet.Conn) error {
	gc, ok := c.(*gnetConn)
	return pausable(ok, ok && gc.b.Pause())
}

// Resume undoes Pause. OnTraffic is called if something has come, or if the last one has
// left something unread. Any goroutine.
func Resume(c gnet.Conn) error {
	gc, ok := c.(*gnetConn)
	if ok {
		gc.resumed.Store(true)
	}
	return pausable(ok, ok && gc.b.Resume())
}

func pausable(ours, open bool) error {
	switch {
	case !ours:
		return gneterrors.ErrUnsupportedOp
	case !open:
		return net.ErrClosed
	}
	return nil
}

// WhenDrained has callback called, once, as a callback of c, when no more than below bytes
// written to c wait to be sent (OutboundBuffered): the time to Resume the connection whose
// input is written to c. Its error is nil, or net.ErrClosed if c was closed before. Of a
// connection that Pause is not for it is gnet's ErrUnsupportedOp. Any goroutine.
func WhenDrained(c gnet.Conn, below int, callback gnet.AsyncCallback) error {
	gc, ok := c.(*gnetConn)
	if !ok {
		return gneterrors.ErrUnsupportedOp
	}
	gc.submit(&gnetTask{kind: taskDrained, below: max(below, 0), callback: callback})
	return nil
}

// whenDrained keeps t until c has no more to send than it says.
func (c *gnetConn) whenDrained(t *gnetTask) {
	t.next, c.draining = c.draining, t
	c.runDrained()
}

// runDrained does what has waited for c to send.
func (c *gnetConn) runDrained() {
	if c.draining == nil {
		return
	}
	queued := c.b.Queued()
	var due *gnetTask
	still := -1 // how many bytes the next waits for
	for t, keep := c.draining, &c.draining; t != nil; t = *keep {
		if !c.closed && queued > t.below {
			still = max(still, t.below)
			keep = &t.next
			continue
		}
		*keep, t.next, due = t.next, due, t
	}
	c.b.PokeWhenQueued(still)
	for t := due; t != nil; t = t.next {
		var err error
		if c.closed {
			err = net.ErrClosed
		}
		_ = t.callback(c, err)
	}
}
