//go:build linux && (amd64 || arm64)

package conn

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// Close closes c: what waits in Read or Write returns with net.ErrClosed, what
// was written before is still sent, within the linger limit, and then the
// descriptor is closed. If the peer has sent what was not read, it is discarded
// until the peer ends its side, because closing at once would have the kernel
// reset the connection and the peer lose the answer. Closing twice is not an
// error.
func (c *Conn) Close() error {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if c.closed || c.byWorker() && c.burstOver {
		return nil
	}
	c.close()
	return nil
}

func (c *Conn) close() {
	c.closed = true
	c.draining = !c.noLinger && (len(c.in) > 0 || c.more) && !c.eof && c.rerr == 0
	if c.noLinger {
		c.abandon()
	}
	c.in = nil
	c.freeSlot()
	c.readers.wakeAll(c.l)
	c.writers.wakeAll(c.l)
	if l := c.l; l.inKernel || c.draining || len(c.out) > 0 || c.busy > 0 {
		c.lingerTill = clockNow() + c.linger()
		c.arm()
		c.dirty()
		return
	}
	c.advanceClose()
}

// linger is how long, in nanoseconds, c may go on after Close.
func (c *Conn) linger() int64 {
	if c.lingerSec > 0 {
		return int64(c.lingerSec) * int64(time.Second)
	}
	return int64(c.l.group.opt.linger)
}

// reset closes c, which nobody has, as the kernel does with what waits in the
// queue of a listening socket that is closed.
func (c *Conn) reset() {
	if c.closed {
		return
	}
	unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	c.noLinger = true
	c.close()
}

// abandon drops what is queued.
func (c *Conn) abandon() {
	if c.entry >= 0 && !c.l.inKernel {
		c.l.takeBack(c)
	}
	c.out, c.draining = nil, false
}

// CloseWrite ends the stream to the peer, after what is queued.
func (c *Conn) CloseWrite() error {
	c.l.mu.Lock()
	if c.closed {
		c.l.mu.Unlock()
		return c.opError("close", errClosed)
	}
	defer c.l.mu.Unlock()
	if !c.wantShut {
		c.wantShut = true
		c.dirty()
	}
	return nil
}

// CloseRead has the kernel take nothing more from the peer; Read reports io.EOF
// after what has come.
func (c *Conn) CloseRead() error {
	return c.control("close", func(fd int) error { return unix.Shutdown(fd, unix.SHUT_RD) })
}

// advanceClose takes a closed connection a step further: send, discard, close.
func (c *Conn) advanceClose() {
	l := c.l
	if c.closeQueued || c.busy > 0 || c.fd < 0 {
		return // what is under way calls dirty when it ends
	}
	if c.draining && c.werr == 0 {
		c.advanceDrain()
		return
	}
	switch t := &l.table; {
	case c.entry < 0 && (len(c.out) == 0 || c.werr != 0):
		c.queueClose()
	case c.entry < 0: // waits for the socket to take more
	case int(c.entry) == t.n-1 && t.n < len(t.entries) && len(c.out) == 0 && !c.duped:
		t.entries[c.entry].Flags |= poller.Link
		c.queueClose()
	default: // it is not the last in the table: sent calls dirty
		t.entries[c.entry].Flags |= poller.Attend
	}
}

func (c *Conn) queueClose() {
	c.closeQueued = true
	// As long as there is a duplicate of the descriptor, so is the registration,
	// and by the number that it reports the harvest would receive from whoever
	// has that next.
	c.hold()
	if c.duped {
		c.l.ep.Remove(c.fd)
	}
	e := c.l.add(c, 1, 0)
	e.CloseFD(c.fd)
	if c.l.closing {
		e.Flags |= poller.Attend // the loop ends with its last connection
	}
}

// advanceDrain sends what is queued, ends our side, and discards what comes.
func (c *Conn) advanceDrain() {
	if c.idleOut() && !c.shut {
		c.shut = true
		c.l.add(c, 1, 0).Shutdown(c.fd, unix.SHUT_WR)
	}
	if c.l.discard == nil {
		c.l.discard = make([]byte, 16<<10)
	}
	f := c.l.takeFrame(c.l.discard)
	defer c.l.putFrame(f)
	for range 8 { // then it is the neighbours' turn
		if c.eof || c.rerr != 0 {
			break
		}
		f.Recv(c.fd, unsafe.Pointer(&c.l.discard[0]), len(c.l.discard))
		c.l.be.Call(&f.Entry)
		c.l.stats.calls.CountCall(&f.Entry)
		switch {
		case f.Ret == 0:
			c.eof = true
		case f.Ret == -int64(unix.EAGAIN):
			return // the next bytes are an event, as the harvest keeps off
		case f.Ret < 0 && f.Ret != -int64(unix.EINTR):
			c.rerr = unix.Errno(-f.Ret)
		}
	}
	if c.eof || c.rerr != 0 {
		c.draining = false
	}
	c.dirty()
}

// lingered is called when the linger limit has passed.
func (c *Conn) lingered() {
	c.out, c.draining = nil, false
	if c.werr == 0 {
		c.werr = unix.ETIMEDOUT
	}
	c.dirty()
}

// shutDone takes in the result of a queued shutdown, which can only fail on a
// connection that is gone already.
func (c *Conn) shutDone(*poller.Entry) {
	if c.closed {
		c.dirty()
	}
}

// polled takes in the result of a queued epoll_ctl. Without a registration
// nothing would ever come of the connection.
func (c *Conn) polled(e *poller.Entry) {
	if e.Ret >= 0 || c.fd < 0 {
		return
	}
	c.rerr, c.werr = unix.Errno(-e.Ret), unix.Errno(-e.Ret)
	c.readers.wakeAll(c.l)
	c.writers.wakeAll(c.l)
	if !c.isDue && c.servable() {
		c.isDue = true
		c.l.due = append(c.l.due, c)
	}
	c.dirty()
}

// closedFD takes in the result of a queued close.
func (c *Conn) closedFD(e *poller.Entry) {
	if e.Ret == -int64(unix.ECANCELED) { // the send before it was short
		c.closeQueued = false
		c.lingerTill = clockNow() + c.linger()
		c.arm()
		c.dirty()
		return
	}
	c.gone()
}

// gone forgets a connection whose descriptor is closed.
func (c *Conn) gone() {
	l := c.l
	if l.conns[c.fd] == c {
		l.conns[c.fd] = nil
	}
	l.open--
	l.load.Add(-1)
	l.timers.remove(&c.timer)
	c.fd, c.out, c.in = -1, nil, nil
	c.freeSlot()
	if c.onGone != nil {
		c.onGone()
	}
}
