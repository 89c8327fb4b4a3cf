//go:build linux && (amd64 || arm64)

package server

import (
	"bufio"
	"io"
	"sync"
	"time"
)

// A connection that has been quiet for some time (h2watch.go) settles: its driver leaves
// ServeConn, which holds a context and two buffers, gives its own buffers back, and waits
// with one byte. Go shrinks its stack.
//
//	reading ─► quiet: the watcher ends the wait ─► settled ─► a byte ─► reading

var h2readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 8<<10) }}

// h2in is what the Framer reads from: br.
type h2in h2conn

func (in *h2in) Read(p []byte) (int, error) { return in.br.Read(p) }

// h2wire is what br reads from.
type h2wire h2conn

func (w *h2wire) Read(p []byte) (int, error) {
	if w.hasOne {
		w.hasOne = false
		return copy(p, w.first[:]), nil
	}
	return w.nc.Read(p)
}

// settle has the driver settle, if it waits for a frame. Within one it must not be
// disturbed: what it has of it would be lost.
func (c *h2conn) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && c.waits.CompareAndSwap(true, false) {
		c.settling = true
		c.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

// settles waits for something to read, and reports whether the driver has settled
// instead. Errors are for the Framer, which gets the same. For the driver.
func (c *h2conn) settles() bool {
	if c.br == nil {
		n, _ := io.ReadFull(c.nc, c.first[:])
		c.hasOne = n > 0
		c.borrow()
		return false
	}
	c.waits.Store(true)
	_, err := c.br.Peek(1)
	if c.waits.CompareAndSwap(true, false) { // the watcher has not come
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.settling
	if asked {
		c.goOnWaiting()
	}
	if !asked || err == nil {
		return false
	}
	c.br.Reset(nil)
	h2readers.Put(c.br)
	c.br = nil
	c.fr = c.newFramer(c.fr.ReadMetaHeaders) // that one has buffers as well
	return true
}

// borrow gives the driver a buffer.
func (c *h2conn) borrow() {
	c.br = h2readers.Get().(*bufio.Reader)
	c.br.Reset((*h2wire)(c))
}
