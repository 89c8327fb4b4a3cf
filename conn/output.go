//go:build linux && (amd64 || arm64)

package conn

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// output is the sending half of a connection. Everything moves with the lock.
//
//	            Write                 result: all, nothing behind
//	┌─ empty ──────────► queued ───────────────────────────────────► empty
//	│    ▲                 │ short                 all, and a backlog
//	│    │ EPOLLOUT        ├────────────► blocked       │
//	│    ├───────── asked ◄┼───────────────┘ ▲          │
//	│    │            │    └──────────────┐  │ short    │
//	│    │   EPOLLOUT ▼       record      ▼  │          │
//	│    │         backlog ◄───────────── │ ─┼──────────┘
//	│    └──────────── └───────────────► sending
//	│      all                            │
//	└► (from any) ── error, deadline, linger ──► failed
//
// Whoever writes moves empty to queued while the driver is awake; while it is away they
// send directly, and what the socket does not take makes it blocked, or backlog. Who
// sends behind what is queued takes that back first (unqueue: empty). The driver moves
// backlog to sending, blocked to asked (advance), and the rest by results
// (collect) and events (dispatch). Bytes leave in order since those behind a send in
// the table wait in the backlog, and since whoever sends outside the table holds
// locked, with nothing else on its way (drained).
type output struct {
	state   outState
	fin     finState
	locked  bool  // somebody transfers outside the table, and the others wait
	armed   bool  // EPOLLOUT is in the registration
	waiting int16 // how many wait in writers, or have been woken and have not looked yet
	told    bool  // whoever the write deadline concerns knows that it has passed
	entry   int32 // of the table: the send of queued or sending, or -1
	backlog []byte
	flying  *byte // keeps what the kernel may be reading reachable
	err     error // in failed
}

type outState uint8

const (
	outEmpty   outState = iota // nothing is to be sent
	outQueued                  // a send of the arena is in the table; the backlog is behind it
	outSending                 // a send of the backlog's beginning is in the table
	outBacklog                 // the driver is to record a send of the backlog
	outBlocked                 // the socket is full, and the driver is to ask for EPOLLOUT
	outAsked                   // the socket is full, and will be reported when it is not
	outFailed                  // nothing is sent any more
)

// finState is how far the end of our stream has come.
type finState uint8

const (
	finNone   finState = iota
	finWanted          // CloseWrite was called: behind what is to be sent
	finSent            // and recorded
)

// pending is how many bytes wait to be sent, in the table and behind it.
func (c *Conn) pending() int {
	o := &c.out
	if o.state == outQueued {
		return len(o.backlog) + int(c.l.table.entries[o.entry].Args[2])
	}
	return len(o.backlog)
}

// idle reports whether nothing is left that must be sent first, or can be.
func (o *output) idle() bool { return o.state == outEmpty && !o.locked || o.state == outFailed }

// waits reports whether somebody or something waits for the peer to take more.
func (o *output) waits() bool { return o.waiting > 0 || o.state >= outSending && o.state <= outAsked }

// append queues p, which is copied, behind what is to be sent. Never waits.
func (c *Conn) append(p []byte) {
	l, o := c.l, &c.out
	if !l.away() {
		if o.state == outEmpty {
			l.makeRoom(1, len(p))
		} else if o.state == outQueued && !l.table.fitsBehind(o.entry, len(p)) {
			l.flush()
		}
		switch o.state {
		case outEmpty:
			o.entry, o.state = l.recordSend(c, p), outQueued
			return
		case outQueued:
			l.table.lengthenSend(o.entry, p)
			return
		}
	}
	o.backlog = append(o.backlog, p...)
	if o.state == outEmpty {
		o.state = outBacklog
	}
	if o.state != outFailed {
		c.dirty()
	}
}

// unqueue takes back what c has recorded to send and returns it: bytes of the
// arena, good until the next crossing. Only in queued, and not while the driver is
// away.
func (c *Conn) unqueue() []byte {
	o, t := &c.out, &c.l.table
	e := &t.entries[o.entry]
	queued := t.arenaAt(e.Args[1], int(e.Args[2]))
	t.unrecord(o.entry)
	o.entry, o.state = -1, outEmpty
	return queued
}

// again reports whether a transfer may succeed once the socket reports writable.
// ENOBUFS passes as well: the kernel is short of memory for a moment.
func again(ret int64) bool {
	return ret == -int64(unix.EAGAIN) || ret == -int64(unix.EINTR) || ret == -int64(unix.ENOBUFS)
}

// sent takes in the result of a send of the table.
func (c *Conn) sent(e *poller.Entry) {
	o, want, n := &c.out, int(e.Args[2]), int(max(e.Ret, 0))
	was := o.state
	o.entry, o.flying = -1, nil
	c.l.stats.bytesOut += uint64(n)
	switch {
	case was == outFailed: // meanwhile
	case e.Ret < 0 && !again(e.Ret):
		c.failOutput(unix.Errno(-e.Ret))
	case was == outSending:
		o.backlog = o.backlog[n:]
		c.afterSend(n == want)
	case n < want:
		rest := c.l.table.arenaAt(e.Args[1], want)[n:]
		o.backlog = append(append(make([]byte, 0, len(rest)+len(o.backlog)), rest...), o.backlog...)
		c.afterSend(false)
	default:
		c.afterSend(true)
	}
	if o.state != outEmpty || o.armed || o.fin == finWanted || c.end.state != endOpen {
		c.dirty()
	}
}

// afterSend moves on from a send, whose rest is in the backlog; all: the socket has
// taken it, and may take more.
func (c *Conn) afterSend(all bool) {
	o := &c.out
	switch {
	case !all:
		o.state = outBlocked
	case len(o.backlog) > 0:
		o.state = outBacklog
	default:
		o.state, o.backlog = outEmpty, nil
	}
	if len(o.backlog) < c.l.group.opt.highWater {
		c.writers.wakeAll(c.l)
	}
	if at := int(c.burst.pokeAt); at > len(o.backlog) {
		c.burst.pokeAt = 0
		c.serveLater()
	}
}

// writableAgain is told that the socket takes more, or that sending will tell why
// it never will.
func (c *Conn) writableAgain() {
	if s := c.out.state; s == outBlocked || s == outAsked {
		c.afterSend(true)
		c.writers.wakeAll(c.l)
		c.dirty()
	}
}

// transferred takes in the result of a transfer of up to want bytes outside the
// table, and returns how many it was. What is left of them the caller keeps, or has
// put into the backlog.
func (c *Conn) transferred(ret int64, want int) (int, error) {
	o := &c.out
	switch {
	case o.state == outFailed:
		return 0, o.err
	case ret < 0 && !again(ret):
		c.failOutput(unix.Errno(-ret))
		return 0, o.err
	}
	n := int(max(ret, 0))
	c.l.stats.bytesOut += uint64(n)
	if n < want {
		o.state = outBlocked
		c.dirty()
	}
	return n, nil
}

// failOutput gives up sending because of err, an Errno or a deadline. A send in the
// table is left to end by itself.
func (c *Conn) failOutput(err error) {
	o := &c.out
	if o.state == outFailed {
		return
	}
	if o.state == outQueued && o.entry >= 0 && !c.l.away() {
		c.unqueue()
	}
	o.state, o.err, o.backlog = outFailed, err, nil
	c.writers.wakeAll(c.l)
	c.readers.wakeAll(c.l)
	c.dirty()
	c.noticeEnd()
	if c.end.state == endOpen {
		c.serveLater() // nobody may be waiting: the Handler is to hear of it
	}
}

// writeLate reports whether the write deadline has passed.
func (c *Conn) writeLate() bool { return c.wdl != 0 && c.wdl <= c.l.time() }

// writeGrace is how long after the write deadline the output fails of a connection that
// somebody may be writing to: who is between two Writes as the deadline passes is told
// by the next, as with package net, and may go on with another deadline.
const writeGrace = 100 * time.Millisecond

// overdue fails the output if the write deadline has passed with something still
// to be sent and nobody waiting, who would be told: what Write has accepted is as
// much subject to it as what it has not.
func (c *Conn) overdue() {
	switch o := &c.out; {
	case !c.writeLate() || o.told:
	case o.waiting > 0:
		o.told = true // by what its Write returns
	case (c.worker != nil || !c.burst.served) && c.l.time() < c.wdl+int64(writeGrace):
	case o.state == outBacklog, o.state == outBlocked, o.state == outAsked:
		c.failOutput(os.ErrDeadlineExceeded)
		if c.worker == nil {
			c.burst.ended = EndedTimeout
		}
	}
}

// advanceOutput does for c what needs the table. Not while the driver is away, and
// not from within collect.
func (c *Conn) advanceOutput() {
	l, o := c.l, &c.out
	l.makeRoom(2, pollBytes) // what it makes known comes first
	switch o.state {
	case outBlocked:
		if c.overdue(); o.state != outBlocked {
			break
		}
		// Even if EPOLLOUT is in the registration already: after ENOBUFS no
		// edge comes by itself, after MOD one does.
		o.state, o.armed = outAsked, true
		c.arm() // the write deadline counts from here on
		l.recordPoll(c, unix.EPOLL_CTL_MOD, poller.MaskInOut)
	case outBacklog:
		e := l.record(c)
		o.entry, o.flying, o.state = int32(l.table.n-1), &o.backlog[0], outSending
		e.Send(c.fd, unsafe.Pointer(&o.backlog[0]), len(o.backlog), 0)
	case outEmpty:
		if o.armed && !o.locked {
			o.armed = false
			l.recordPoll(c, unix.EPOLL_CTL_MOD, poller.MaskIn)
		}
	}
	if o.fin == finWanted && o.idle() {
		o.fin = finSent
		l.record(c).Shutdown(c.fd, unix.SHUT_WR)
	}
}
