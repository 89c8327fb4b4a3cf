//go:build linux && (amd64 || arm64)

package server

import (
	"net"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
)

var errEngineInShutdown = gneterrors.ErrEngineInShutdown

// gnetTask is something that any goroutine has asked a connection's loop to do.
type gnetTask struct {
	next     *gnetTask
	kind     taskKind
	p        []byte
	ps       [][]byte
	err      error
	below    int // of taskDrained
	callback gnet.AsyncCallback
}

type taskKind uint8

const (
	taskWrite taskKind = iota
	taskWritev
	taskWake
	taskClose
	taskDrained
)

// submit has the loop do t, after what was submitted before. Its callback is
// called in any case, once.
func (c *gnetConn) submit(t *gnetTask) {
	for {
		t.next = c.tasks.Load()
		if c.tasks.CompareAndSwap(t.next, t) {
			break
		}
	}
	if c.b.Poke() {
		return
	}
	// It is closed, and no burst will come.
	rest := func() {
		c.turn.Lock()
		defer c.turn.Unlock()
		c.runTasks()
	}
	if !c.loop.e.ln.Execute(c.b.Loop(), rest) {
		go rest() // nor is there a loop any more
	}
}

// runTasks does what was submitted by now, in order. What its callbacks submit is
// for the next time, after the neighbours: a callback may wake its connection again
// and again.
func (c *gnetConn) runTasks() {
	if c.tasks.Load() == nil {
		return
	}
	var first *gnetTask
	for t := c.tasks.Swap(nil); t != nil; {
		t.next, first, t = first, t, t.next
	}
	for t := first; t != nil; t = t.next {
		c.run(t)
	}
}

func (c *gnetConn) run(t *gnetTask) {
	var err error
	switch t.kind {
	case taskWrite:
		if err = net.ErrClosed; !c.closed {
			_, err = c.Write(t.p)
		}
	case taskWritev:
		if err = net.ErrClosed; !c.closed {
			_, err = c.Writev(t.ps)
		}
	case taskWake:
		if c.opened {
			err = c.traffic(nil)
		}
	case taskClose:
		err = c.close(t.err)
	case taskDrained:
		c.whenDrained(t)
		return
	}
	if t.callback != nil {
		_ = t.callback(c, err) // gnet, too, has nobody to tell what it returns
	}
}

// AsyncWrite implements gnet.Writer: p is the loop's until callback is called.
func (c *gnetConn) AsyncWrite(p []byte, callback gnet.AsyncCallback) error {
	c.submit(&gnetTask{kind: taskWrite, p: p, callback: callback})
	return nil
}

// AsyncWritev implements gnet.Writer.
func (c *gnetConn) AsyncWritev(bs [][]byte, callback gnet.AsyncCallback) error {
	c.submit(&gnetTask{kind: taskWritev, ps: bs, callback: callback})
	return nil
}

// Wake implements gnet.Conn: OnTraffic is called though nothing has come.
func (c *gnetConn) Wake(callback gnet.AsyncCallback) error {
	c.submit(&gnetTask{kind: taskWake, callback: callback})
	return nil
}

// CloseWithCallback implements gnet.Conn.
func (c *gnetConn) CloseWithCallback(callback gnet.AsyncCallback) error {
	c.submit(&gnetTask{kind: taskClose, callback: callback})
	return nil
}

// Close implements gnet.Conn.
func (c *gnetConn) Close() error { return c.CloseWithCallback(nil) }
