//go:build linux && (amd64 || arm64)

package conn

import (
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bigWrite is the length from which a Write is not copied. Below it a copy into
// the arena costs less than a crossing of its own.
const bigWrite = 16 << 10

// mostLocked bounds what is sent at once, and so for how long, with the lock kept.
const mostLocked = 128 << 10

// Write queues p, or sends it. Below 16 KiB p is copied, and leaves with what
// else the connection writes in the tick; longer data goes from p itself, after
// what was queued. Write blocks while more than the high-water mark is queued.
// An error of a queued write is reported by the next call; so is a write deadline
// that passes while something is queued. p is not kept.
func (c *Conn) Write(p []byte) (int, error) {
	c.l.mu.Lock()
	n, err := c.write(p)
	c.l.mu.Unlock()
	if err != nil {
		err = c.opError("write", err)
	}
	return n, err
}

func (c *Conn) write(p []byte) (int, error) {
	l, o := c.l, &c.out
	for {
		if err := c.writable(); err != nil {
			return 0, err
		}
		if len(p) == 0 {
			return 0, nil
		}
		if !o.locked && (len(p) >= bigWrite || c.pending() < l.group.opt.highWater) {
			break
		}
		if !o.locked && c.flushOwn() {
			continue
		}
		c.await(&c.writers)
	}
	switch {
	case len(p) >= bigWrite:
		return c.writeBig(p)
	case o.state == outEmpty && l.away():
		return c.sendNow(p)
	}
	c.append(p)
	return len(p), nil
}

// flushOwn has what c has in the table sent, and reports whether that is over:
// while the driver is away it is its to look at the result.
func (c *Conn) flushOwn() bool {
	if c.out.entry < 0 || c.l.away() {
		return false
	}
	c.l.flush()
	return true
}

// writable reports why nothing can be written.
func (c *Conn) writable() error {
	switch {
	case c.end.state != endOpen:
		return net.ErrClosed
	case c.out.state == outFailed:
		return c.out.err
	case c.out.fin != finNone:
		return unix.EPIPE
	case c.writeLate():
		c.out.told = true
		return os.ErrDeadlineExceeded
	}
	return nil
}

// sendNow sends p while the driver is away, and queues what the socket does not
// take.
func (c *Conn) sendNow(p []byte) (int, error) {
	c.out.locked = true
	defer c.unlockOutput()
	n, err := c.send(p)
	if err != nil {
		return 0, err
	}
	if n < len(p) {
		c.out.backlog = append(c.out.backlog, p[n:]...)
	}
	return len(p), nil
}

// send sends p directly, once. A full socket is no error. locked is held: no other
// Write gets in between.
func (c *Conn) send(p []byte) (int, error) {
	f := c.l.getFrame(p)
	defer c.l.putFrame(f)
	f.Send(c.fd, unsafe.Pointer(&p[0]), len(p), 0)
	c.call(&f.Entry)
	return c.transferred(f.Ret, len(p))
}

// writeBig sends p from where it is.
func (c *Conn) writeBig(p []byte) (n int, err error) {
	c.out.locked = true
	defer c.unlockOutput()
	if n, err = c.sendBehindQueued(p); err != nil {
		return n, err
	}
	for n < len(p) {
		if err := c.drained(); err != nil {
			return n, err
		}
		m, err := c.send(p[n:])
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// unlockOutput ends what locked protects.
func (c *Conn) unlockOutput() {
	o := &c.out
	o.locked = false
	c.writers.wakeAll(c.l)
	if o.fin == finWanted || o.armed || c.end.state != endOpen {
		c.dirty() // it has waited for this: the end of the stream, a registration
	}
}

// sendBehindQueued sends what c has in the table and, behind it, as much of p as
// the socket takes, in one crossing, and returns how much of p that was. The lock is
// kept: the queued bytes lie in the arena, which the loop uses again after its next
// crossing.
func (c *Conn) sendBehindQueued(p []byte) (int, error) {
	l, o := c.l, &c.out
	if l.away() || o.state != outQueued {
		return 0, nil
	}
	queued := c.unqueue()
	p = p[:min(len(p), mostLocked)]
	f := l.getFrame(p)
	defer l.putFrame(f)
	f.iov[0].Base, f.iov[0].Len = &queued[0], uint64(len(queued))
	f.iov[1].Base, f.iov[1].Len = &p[0], uint64(len(p))
	f.hdr.Iov, f.hdr.Iovlen = &f.iov[0], 2
	f.SendMsg(c.fd, &f.hdr)
	l.call(f)
	n, err := c.transferred(f.Ret, len(queued)+len(p))
	if err != nil {
		return 0, err
	}
	if n < len(queued) {
		o.backlog = append(o.backlog, queued[n:]...)
		return 0, nil
	}
	return n - len(queued), nil
}

// drained waits until nothing of c is on its way and the socket may take more. For
// who holds locked.
func (c *Conn) drained() error {
	for {
		switch o := &c.out; {
		case c.end.state != endOpen:
			return net.ErrClosed
		case o.state == outFailed:
			return o.err
		case c.writeLate():
			o.told = true
			return os.ErrDeadlineExceeded
		case o.state == outEmpty:
			return nil
		case c.flushOwn():
			continue
		}
		c.await(&c.writers)
	}
}
