//go:build linux && (amd64 || arm64)

package conn

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// bigWrite is the length from which a Write is not copied. Below it a copy into
// the arena costs less than a crossing of its own.
const bigWrite = 16 << 10

// mostLocked bounds what is sent at once, and so for how long, with the lock kept.
const mostLocked = 128 << 10

// Write queues p, or sends it. Below 16 KiB p is copied, and leaves with what
// else the connection writes in the tick; longer data goes from p itself, after
// what was queued. Write blocks while more than the high-water mark is queued.
// An error of a queued write is reported by the next call. p is not kept.
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
	l := c.l
	for {
		if err := c.writable(); err != nil {
			return 0, err
		}
		if len(p) == 0 {
			return 0, nil
		}
		if !c.wlocked && (len(p) >= bigWrite || c.queued() < l.group.opt.highWater) {
			break
		}
		switch {
		case c.entry >= 0 && !c.wlocked && !l.inKernel:
			l.flush()
			continue
		case c.entry >= 0:
			c.dirty() // the driver may sleep, with the result still to be looked at
		}
		c.wait(&c.writers)
	}
	switch {
	case len(p) >= bigWrite:
		return c.writeBig(p)
	case len(c.out) > 0 || c.needOut || l.inKernel && c.entry >= 0:
		// Behind what is still to be sent.
		c.out = append(c.out, p...)
		c.dirty()
	case l.inKernel:
		return c.sendNow(p)
	default:
		l.queueSend(c, p)
	}
	return len(p), nil
}

// queued is how many bytes wait to be sent, in the table and behind it.
func (c *Conn) queued() int {
	if c.entry >= 0 && !c.entryOwn {
		return len(c.out) + int(c.l.table.entries[c.entry].Args[2])
	}
	return len(c.out)
}

// writable reports why nothing can be written.
func (c *Conn) writable() error {
	switch {
	case c.closed:
		return errClosed
	case c.werr != 0:
		return c.werr
	case c.wantShut:
		return unix.EPIPE
	case c.writeLate():
		return os.ErrDeadlineExceeded
	}
	return nil
}

// sendNow sends p while the driver sleeps, and queues what the socket does not take.
func (c *Conn) sendNow(p []byte) (int, error) {
	n, errno := c.send(p)
	if errno != 0 {
		return 0, errno
	}
	if n < len(p) && !(c.closed && c.noLinger) {
		c.out = append(c.out, p[n:]...)
		c.needOut = true
		c.dirty()
	}
	return len(p), nil
}

// send sends p directly, once. A full socket is (0, 0). No other Write gets in
// between: wlocked is held meanwhile.
func (c *Conn) send(p []byte) (int, unix.Errno) {
	was := c.wlocked
	c.wlocked = true
	f := c.l.takeFrame(p)
	f.Send(c.fd, unsafe.Pointer(&p[0]), len(p), 0)
	c.call(&f.Entry)
	ret := f.Ret
	c.l.putFrame(f)
	if !was {
		c.writeUnlock()
	}
	return c.transferred(ret)
}

// transferred takes the result of a direct send apart.
func (c *Conn) transferred(ret int64) (int, unix.Errno) {
	switch {
	case ret >= 0:
		c.l.stats.bytesOut += uint64(ret)
		return int(ret), 0
	case again(ret):
		return 0, 0
	}
	c.werr = unix.Errno(-ret)
	return 0, c.werr
}

// again reports whether a transfer may succeed once the socket reports writable.
// ENOBUFS passes as well: the kernel is short of memory for a moment.
func again(ret int64) bool {
	return ret == -int64(unix.EAGAIN) || ret == -int64(unix.EINTR) || ret == -int64(unix.ENOBUFS)
}

// writeBig sends p from where it is.
func (c *Conn) writeBig(p []byte) (n int, err error) {
	c.wlocked = true
	defer c.writeUnlock()
	if n, err = c.sendBehindQueued(p); err != nil {
		return n, err
	}
	for n < len(p) {
		if err := c.drained(); err != nil {
			return n, err
		}
		m, errno := c.send(p[n:])
		if n += m; errno != 0 {
			return n, errno
		}
		if n < len(p) {
			c.needOut = true
			c.dirty()
		}
	}
	return n, nil
}

// writeUnlock ends what wlocked protects.
func (c *Conn) writeUnlock() {
	c.wlocked = false
	c.writers.wakeAll(c.l)
	if c.wantShut && !c.shut || c.closed || c.outArmed {
		c.dirty() // it has waited for this: the end of the stream, a registration
	}
}

// sendBehindQueued sends what c has in the table and, behind it, as much of p as
// the socket takes, in one crossing. The lock is kept: the queued bytes lie in
// the arena, which the loop uses again after its next crossing.
func (c *Conn) sendBehindQueued(p []byte) (int, error) {
	l := c.l
	if l.inKernel || c.entry < 0 || c.entryOwn {
		return 0, nil
	}
	queued := l.takeBack(c)
	f := l.takeFrame(p)
	defer l.putFrame(f)
	f.iov[0].Base, f.iov[0].Len = &queued[0], uint64(len(queued))
	f.iov[1].Base, f.iov[1].Len = &p[0], uint64(min(len(p), mostLocked))
	f.hdr.Iov, f.hdr.Iovlen = &f.iov[0], 2
	f.SendMsg(c.fd, &f.hdr)
	l.be.Call(&f.Entry)
	l.stats.calls.CountCall(&f.Entry)
	n, errno := c.transferred(f.Ret)
	if errno != 0 {
		return 0, errno
	}
	if n < len(queued) {
		c.out = append(c.out, queued[n:]...)
		c.needOut = true
		c.dirty()
		return 0, nil
	}
	if n < len(queued)+min(len(p), mostLocked) {
		c.needOut = true
		c.dirty()
	}
	return n - len(queued), nil
}

// drained waits until nothing of c is queued and the socket may take more.
func (c *Conn) drained() error {
	for {
		switch {
		case c.closed:
			return errClosed
		case c.werr != 0:
			return c.werr
		case c.writeLate():
			return os.ErrDeadlineExceeded
		case len(c.out) == 0 && c.entry < 0 && !c.needOut:
			return nil
		case c.entry >= 0 && !c.l.inKernel:
			c.l.flush()
			continue
		case c.entry >= 0:
			c.dirty() // the driver may sleep, with the result still to be looked at
		}
		c.wait(&c.writers)
	}
}

// sent takes in the result of a queued send. It only marks what is to be done,
// as every collect does: the table is being read.
func (c *Conn) sent(e *poller.Entry) {
	own, want := c.entryOwn, int(e.Args[2])
	c.entry, c.entryOwn, c.flying = -1, false, nil
	n := int(max(e.Ret, 0))
	c.l.stats.bytesOut += uint64(n)
	switch {
	case own && len(c.out) < want: // abandoned meanwhile
	case e.Ret == int64(want):
		if own {
			c.out = c.out[n:]
		}
	case e.Ret >= 0 || again(e.Ret):
		if own {
			c.out = c.out[n:]
		} else {
			rest := c.l.table.arenaAt(e.Args[1], want)[n:]
			c.out = append(append(make([]byte, 0, len(rest)+len(c.out)), rest...), c.out...)
		}
		c.needOut = true
	default:
		c.werr, c.out = unix.Errno(-e.Ret), nil
		if c.enqueues && !c.closed {
			c.poke()
		}
	}
	if len(c.out) == 0 {
		c.out = nil
	}
	if len(c.out) < c.l.group.opt.highWater {
		c.writers.wakeAll(c.l)
	}
	if len(c.out) > 0 || c.needOut || c.outArmed || c.wantShut || c.closed {
		c.dirty()
	}
}

// advance does for c what needs the table. Not while inKernel, and not from
// within collect.
func (c *Conn) advance() {
	if c.fd < 0 || c.closeQueued {
		return
	}
	l := c.l
	if c.werr == 0 {
		switch {
		case c.needOut:
			if !c.outAsked {
				// Even if EPOLLOUT is in the registration already: after
				// ENOBUFS no edge comes by itself, after MOD one does.
				c.outAsked, c.outArmed = true, true
				l.queuePoll(c, unix.EPOLL_CTL_MOD, poller.MaskInOut)
			}
		case len(c.out) > 0 && c.entry < 0:
			e := l.add(c, 1, 0)
			c.entry, c.entryOwn, c.flying = int32(l.table.n-1), true, c.out
			e.Send(c.fd, unsafe.Pointer(&c.out[0]), len(c.out), 0)
			e.Flags |= poller.Attend // writers, or Close, may wait for it
		case len(c.out) == 0 && c.outArmed && !c.wlocked:
			c.outArmed = false
			l.queuePoll(c, unix.EPOLL_CTL_MOD, poller.MaskIn)
		}
	}
	if c.wantShut && !c.shut && c.idleOut() {
		c.shut = true
		l.add(c, 1, 0).Shutdown(c.fd, unix.SHUT_WR)
	}
	if c.closed {
		c.advanceClose()
	}
}

// idleOut reports whether nothing is queued that must be sent first.
func (c *Conn) idleOut() bool {
	return (len(c.out) == 0 && c.entry < 0 && !c.wlocked) || c.werr != 0
}
