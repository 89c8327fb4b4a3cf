//go:build linux && (amd64 || arm64)

package conn

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// A fresh connection is not in the epoll. Most clients have sent their request by the
// time the loop crosses next, and many want a single answer: so the first receive
// goes into the table, and only a connection that stays, or that somebody waits for,
// is registered. Nothing is missed by that: adding a descriptor to an epoll reports
// what there is already.

// greet records the first receive of c, which nobody has read from. Not while the
// driver is away.
func (c *Conn) greet() {
	l := c.l
	l.makeRoom(1, 0)
	slot := l.sh.TakeSlot()
	if slot < 0 {
		c.watch()
		return
	}
	c.in.state = inReceiving // the slot is the entry's until its result is looked at
	l.record(c).Recv(c.fd, unsafe.Pointer(&l.sh.Slot(slot)[0]), l.sh.SlotSize)
}

// greeted takes in the result of the first receive.
func (c *Conn) greeted(e *poller.Entry) {
	l, in := c.l, &c.in
	slot := l.sh.SlotAt(e.Args[1])
	if in.state != inReceiving || e.Ret <= 0 || c.end.state != endOpen {
		l.sh.FreeSlot(slot)
	}
	if in.state != inReceiving {
		return // it has failed meanwhile
	}
	in.state = inFlowing
	switch errno := unix.Errno(max(-e.Ret, 0)); {
	case e.Ret > 0 && c.end.state == endOpen:
		l.stats.bytesIn += uint64(e.Ret)
		in.state, in.buf, in.slot = inFresh, l.sh.Slot(slot)[:e.Ret], slot
		in.more = int(e.Ret) == l.sh.SlotSize
	case e.Ret > 0: // nobody wants it
	case e.Ret == 0:
		c.endInput(0)
	case errno == unix.EAGAIN, errno == unix.EINTR:
		if c.burst.paused {
			c.hold()
		}
		c.watch()
		return
	default:
		c.endInput(errno)
	}
	switch {
	case c.end.state != endOpen:
		c.hold()
		c.dirty()
	case c.servable() && c.readers.empty() && !c.burst.paused:
		c.burst.news = true
		c.serveNextTurn()
	default:
		c.hold()
		c.burst.news = true
		c.readers.wakeAll(l)
	}
	if c.burst.paused {
		c.copyOut()
	}
}

// watch has c registered with the epoll, if it is not.
func (c *Conn) watch() {
	if !c.watched && c.end.state < endClosing {
		c.dirty()
	}
}

// enroll records the registration of c. Not while the driver is away.
func (c *Conn) enroll() {
	c.watched = true
	c.l.makeRoom(1, pollBytes)
	c.l.recordPoll(c, unix.EPOLL_CTL_ADD, poller.MaskIn)
}
