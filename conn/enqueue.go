//go:build linux && (amd64 || arm64)

package conn

import (
	"unsafe"
)

// Enqueue is a Write that never waits. What the socket does not take is copied and
// queued, however much that is; whoever uses it bounds the queue himself (Queued). If
// it cannot be sent, or is still there when the write deadline passes, the connection
// is served once more, and Input has the error. p is not kept. Any goroutine may
// call it, but it goes with other Enqueues and CloseWrite, not with Write or
// ReadFrom, whose bytes it would not wait for.
func (b *Burst) Enqueue(p []byte) (int, error) {
	c := b.Conn()
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
	for len(p) > 0 && c.mayPass() && (len(p) >= bigWrite || c.l.away()) {
		n, err := c.sendLocked(p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	if len(p) > 0 {
		c.append(p)
	}
	return nil
}

// mayPass reports whether nothing of c is on its way that a direct send would get
// in front of. What lies in the table is sent along with it.
func (c *Conn) mayPass() bool {
	o := &c.out
	return !o.locked && (o.state == outEmpty || o.state == outQueued && !c.l.away())
}

// sendLocked sends what c has in the table and as much of p as the socket takes,
// and returns how much of p that was. The lock is kept: nobody gets in between.
func (c *Conn) sendLocked(p []byte) (int, error) {
	if c.out.state == outQueued {
		return c.sendBehindQueued(p)
	}
	l := c.l
	p = p[:min(len(p), mostLocked)]
	f := l.getFrame(p)
	defer l.putFrame(f)
	f.Send(c.fd, unsafe.Pointer(&p[0]), len(p), 0)
	l.call(f)
	return c.transferred(f.Ret, len(p))
}

// Queued returns how many bytes written to the connection the kernel has not taken
// yet. Any goroutine may call it.
func (b *Burst) Queued() int {
	c := b.Conn()
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return c.pending()
}

// Flush hands what is queued to the kernel now, and not at the end of the tick;
// what the socket does not take stays queued. Any goroutine may call it.
func (b *Burst) Flush() error {
	c := b.Conn()
	c.l.mu.Lock()
	c.flushOwn()
	var err error
	if c.out.state == outFailed {
		err = c.out.err
	}
	c.l.mu.Unlock()
	if err != nil {
		return c.opError("write", err)
	}
	return nil
}
