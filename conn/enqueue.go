//go:build linux && (amd64 || arm64)

package conn

import (
	"unsafe"
)

// Enqueue is for Handlers: a Write that never waits. What the socket does not
// take is copied and queued, however much that is; whoever uses it bounds the
// queue himself (Queued). If it cannot be sent, or is still there when the write
// deadline passes, the connection is served once more: Input has the error, or
// Ended. p is not kept. Any goroutine may call it, but it goes with other
// Enqueues and CloseWrite, not with Write or ReadFrom, whose bytes it would not
// wait for.
func (c *Conn) Enqueue(p []byte) (int, error) {
	c.l.mu.Lock()
	err := c.enqueue(p)
	c.l.mu.Unlock()
	if err != nil {
		return 0, c.opError("write", err)
	}
	return len(p), nil
}

func (c *Conn) enqueue(p []byte) error {
	if err := c.writable(); err != nil {
		return err
	}
	c.enqueues = true
	l := c.l
	for len(p) > 0 && c.mayOvertake() && (len(p) >= bigWrite || l.inKernel) {
		n, err := c.sendLocked(p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	switch {
	case len(p) == 0:
	case c.mayOvertake():
		l.queueSend(c, p)
	default:
		c.out = append(c.out, p...)
		c.dirty()
	}
	return nil
}

// mayOvertake reports whether nothing of c is on its way that a direct send would
// get in front of. What lies in the table is sent along with it.
func (c *Conn) mayOvertake() bool {
	return len(c.out) == 0 && !c.needOut && !c.wlocked && !c.entryOwn && (c.entry < 0 || !c.l.inKernel)
}

// sendLocked sends what c has in the table and as much of p as the socket takes,
// and returns how much of p that was. The lock is kept: nobody gets in between.
func (c *Conn) sendLocked(p []byte) (int, error) {
	if c.entry >= 0 {
		return c.sendBehindQueued(p)
	}
	l := c.l
	p = p[:min(len(p), mostLocked)]
	f := l.takeFrame(p)
	defer l.putFrame(f)
	f.Send(c.fd, unsafe.Pointer(&p[0]), len(p), 0)
	l.be.Call(&f.Entry)
	l.stats.calls.CountCall(&f.Entry)
	n, errno := c.transferred(f.Ret)
	if errno != 0 {
		return 0, errno
	}
	if n < len(p) {
		c.needOut = true
		c.dirty()
	}
	return n, nil
}

// Queued returns how many bytes written to c the kernel has not taken yet.
func (c *Conn) Queued() int {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return c.queued()
}

// Flush hands what is queued to the kernel now, and not at the end of the tick;
// what the socket does not take stays queued.
func (c *Conn) Flush() error {
	c.l.mu.Lock()
	if c.entry >= 0 && !c.l.inKernel {
		c.l.flush()
	}
	err := c.werr
	c.l.mu.Unlock()
	if err != 0 {
		return c.opError("write", err)
	}
	return nil
}
