//go:build linux && (amd64 || arm64)

package conn

import (
	"net"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// end is how far the end of a connection has come. Everything moves with the lock.
//
//	       Close                                  sent, or failed, or the limit
//	open ────┬──────────────────────────► flushing ───────────────┬─► closing ─► gone
//	         │ nothing to send, nobody in a call     ▲  the send   │       │
//	         ├───────────────────────────────────────┼─ was short ─┼───────┘
//	         │ input is unread                       │             │
//	         └─────────────────────────► discarding ─┘ end, limit ─┘
//
// Only close leaves open, and only the driver, in advanceEnd, in the results it collects
// and when the limit passes, goes on from there. flushing and discarding are entered by one method
// each, which sets the limit: neither lasts for ever, whatever the peer does.
type end struct {
	state   endState
	calls   int8  // system calls under way without the lock: the descriptor stays
	abort   bool  // SetLinger(0): what is queued is dropped, and the peer sees a reset
	duped   bool  // File has given out another descriptor of the socket
	prompt  bool  // nobody can have set SO_LINGER: to close the descriptor waits for nothing
	seconds int8  // of SetLinger; 0: the listener's limit
	limit   int64 // in flushing and discarding: when they end
}

type endState uint8

const (
	endOpen       endState = iota
	endFlushing            // Close was called: what is queued is sent, and calls under way end
	endDiscarding          // our stream has ended or is about to; what the peer sends is discarded until its does
	endClosing             // a close of the descriptor is in the table
	endGone                // and has been executed
)

// close closes c, which is open.
func (c *Conn) close() {
	in, o, e := &c.in, &c.out, &c.end
	discard := !e.abort && o.state != outFailed && (len(in.buf) > 0 || in.more || c.unseen())
	c.dropInput()
	c.readers.wakeAll(c.l)
	c.writers.wakeAll(c.l)
	if e.abort {
		c.failOutput(net.ErrClosed)
	}
	switch {
	case discard:
		c.startDiscarding()
	case e.calls > 0 || c.l.away() || !c.finishNow():
		c.startFlushing()
	}
	c.noticeEnd()
}

// unseen reports whether the socket holds bytes that nobody has been told of: what has
// come since the loop's last look, as behind the first receive of a connection.
func (c *Conn) unseen() bool {
	if c.in.state == inEnded {
		return false
	}
	f := c.l.getFrame(nil)
	defer c.l.putFrame(f)
	f.off = 0
	f.Entry = poller.Entry{NR: unix.SYS_IOCTL, Flags: poller.Prompt}
	f.Args = [6]uint64{uint64(c.fd), unix.SIOCINQ, uint64(uintptr(unsafe.Pointer(&f.off)))}
	return c.l.call(f) == 0 && f.off > 0
}

func (c *Conn) startFlushing() {
	c.end.state = endFlushing
	c.setLimit()
	c.dirty()
}

func (c *Conn) startDiscarding() {
	c.end.state = endDiscarding
	c.hold() // each arrival is an event then
	c.setLimit()
	c.dirty()
}

// setLimit starts the linger limit, unless it runs already.
func (c *Conn) setLimit() {
	if e := &c.end; e.limit == 0 {
		d := c.l.group.opt.linger
		if e.seconds > 0 {
			d = time.Duration(e.seconds) * time.Second
		}
		e.limit = clockNow() + int64(d)
		c.arm()
	}
}

// lingered is called when the limit has passed.
func (c *Conn) lingered() {
	switch c.end.state {
	case endFlushing, endDiscarding:
		c.failOutput(unix.ETIMEDOUT)
		c.startFlushing()
	}
}

// finishNow records the close if it can be: behind the send that is in the table, or
// if there is nothing to send. Not while the driver is away.
func (c *Conn) finishNow() bool {
	l, o, t := c.l, &c.out, &c.l.table
	if o.fin == finWanted {
		return false
	}
	switch {
	case o.state == outEmpty, o.state == outFailed && o.entry < 0:
		l.makeRoom(1, 0)
	case o.state == outQueued && int(o.entry) == t.n-1 && t.n < len(t.entries) && !c.end.duped:
		t.entries[o.entry].Flags |= poller.Link // if it is short, the close is cancelled
		c.endWithLastSend()
	default:
		return false
	}
	c.end.state = endClosing
	// As long as there is a duplicate of the descriptor, so is the registration,
	// and by the number that it reports the harvest would receive from whoever
	// has that next.
	c.hold()
	if c.end.duped {
		l.ep.Remove(c.fd)
	}
	if e := l.record(c); c.end.prompt {
		e.CloseSocket(c.fd)
	} else {
		e.CloseFD(c.fd)
	}
	return true
}

// endWithLastSend has the end of our stream leave in the segment of the last send, which
// is the last entry. It is a shutdown that ends it, as a close may not: had something come
// meanwhile, the kernel would reset the connection and drop what waits for more; and
// a duplicate that nobody has told us of, as of a process about to be executed, would have
// that wait. Who has been given the descriptor may have such a duplicate to go on with.
func (c *Conn) endWithLastSend() {
	l, t := c.l, &c.l.table
	if !c.end.prompt || c.from.network == "unix" || t.n+2 > len(t.entries) {
		return
	}
	t.entries[c.out.entry].Args[3] |= unix.MSG_MORE
	e := l.record(nil) // if it fails the connection is gone already, and the close is recorded again
	e.Shutdown(c.fd, unix.SHUT_WR)
	e.Flags |= poller.Link
}

// advanceEnd takes a closed connection a step further. Not while the driver is away,
// and not from within collect.
func (c *Conn) advanceEnd() {
	if c.end.calls > 0 {
		return // what is under way calls dirty when it ends
	}
	switch c.end.state {
	case endDiscarding:
		if c.out.state == outFailed {
			c.startFlushing()
			return
		}
		c.discard()
	case endFlushing:
		c.finishNow()
	}
}

// discard ends our stream, once all is sent, and receives what nobody wants.
func (c *Conn) discard() {
	l := c.l
	if c.out.idle() && c.out.fin != finSent {
		c.out.fin = finSent
		l.makeRoom(1, 0)
		l.record(c).Shutdown(c.fd, unix.SHUT_WR)
	}
	if l.discard == nil {
		l.discard = make([]byte, 16<<10)
	}
	f := l.getFrame(l.discard)
	defer l.putFrame(f)
	for range 8 { // then it is the neighbours' turn
		if c.in.state == inEnded {
			c.startFlushing()
			return
		}
		f.Recv(c.fd, unsafe.Pointer(&l.discard[0]), len(l.discard))
		l.call(f)
		switch {
		case f.Ret == 0:
			c.endInput(0)
		case f.Ret == -int64(unix.EAGAIN):
			return // the next bytes are an event, as the harvest keeps off
		case f.Ret < 0 && f.Ret != -int64(unix.EINTR):
			c.endInput(unix.Errno(-f.Ret))
		}
	}
	c.dirty()
}

// closedFD takes in the result of a close of the table.
func (c *Conn) closedFD(e *poller.Entry) {
	if e.Ret == -int64(unix.ECANCELED) { // the send before it was short
		c.startFlushing()
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
	if c.guest {
		l.guests--
		l.group.unuse()
	}
	l.timers.remove(&c.timer)
	c.dropInput()
	c.fd, c.out.backlog, c.end.state = -1, nil, endGone
	if c.burst.onGone != nil {
		c.burst.onGone()
	}
}

// reset closes c, which nobody has, as the kernel does with what waits in the
// queue of a listening socket that is closed.
func (c *Conn) reset() {
	if c.end.state == endOpen {
		unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		c.end.abort = true
		c.close()
	}
}
