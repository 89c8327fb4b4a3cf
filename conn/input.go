//go:build linux && (amd64 || arm64)

package conn

import (
	"io"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// input is the receiving half of a connection. Everything moves with the lock.
//
//	           harvested              all is read, or the burst ends so
//	┌─ flowing ─────────► fresh ──────────────────────────────┐
//	│     ▲ ▲               │ something is left, or a steal    │
//	│     │ └───────────────┼──────────────────────────────────┘
//	│     │ settle          ▼    receive
//	└────►└──────────────  held ◄────────► receiving
//	 hold                   │                  │
//	                        └─────► ended ◄────┘  end of stream, or an error
//
// flowing and fresh are the driver's, in its dispatch; who reads while it is in user
// code moves them to held (hold). Any goroutine that reads moves held to receiving and
// back. A new connection goes from flowing to receiving at once, with a receive in the
// table, and from there as if that had been harvested (fresh.go). From every state the harvest may bring one more
// slot that it had begun with before it was told to keep off, or report the end; until
// that look is over (late) nobody receives by himself, or he would get ahead of it.
type input struct {
	state  inState
	more   bool   // the socket may hold what was not received; between ticks never in flowing
	hup    bool   // the peer has ended its stream, or all has failed: no further edge will say so
	failed bool   // the epoll has reported that all has failed
	bulky  bool   // what comes does not fit into a slot: see Burst.TryRead
	late   bool   // the harvest was told to keep off in the middle of a look, which may bring a slot yet
	errno  uint16 // in ended: why; 0: the peer has ended its stream
	slot   int32  // that buf lies in, or -1
	lent   int32  // slot that Burst.Input has given out, or -1
	buf    []byte // received, not read; empty in flowing
}

type inState uint8

const (
	inFlowing   inState = iota // nothing is unread, and the harvest receives
	inFresh                    // the harvest's bytes are being read in the tick that brought them: it need not be told to keep off
	inHeld                     // the harvest keeps off
	inReceiving                // and a reader is inside recv, without the lock, or a first receive is in the table
	inEnded                    // nothing more will come than is in buf
)

// unread reports whether a reader would find something without waiting.
func (in *input) unread() bool { return len(in.buf) > 0 || in.more || in.state == inEnded }

// reason is what a reader of an ended input gets.
func (in *input) reason() error {
	if in.errno != 0 {
		return unix.Errno(in.errno)
	}
	return io.EOF
}

// take moves what ev has brought into the input, and reports whether that is
// anything for a reader.
func (c *Conn) take(ev *poller.Event) bool {
	in := &c.in
	const hangup = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	in.hup = in.hup || ev.Mask&hangup != 0
	in.failed = in.failed || ev.Mask&(unix.EPOLLHUP|unix.EPOLLERR) != 0
	c.burst.news = true
	defer c.noticeEnd()
	switch {
	case ev.Slot >= 0:
		c.harvested(ev)
		// The end of the stream does not come with an edge of its own.
		if in.hup || int(ev.N) == c.l.sh.SlotSize {
			in.more = in.state != inEnded
		}
	case ev.EOF != 0:
		c.endInput(0)
	case ev.Err != 0:
		c.endInput(unix.Errno(ev.Err))
	case ev.Mask&(unix.EPOLLIN|hangup) == 0:
		return false
	default:
		in.more = in.state != inEnded
	}
	return true
}

// harvested takes over the slot of ev.
func (c *Conn) harvested(ev *poller.Event) {
	in, sh := &c.in, c.l.sh
	b := sh.Slot(ev.Slot)[:ev.N]
	c.l.stats.bytesIn += uint64(ev.N)
	if in.state == inFlowing {
		in.state = inFresh
	}
	if len(in.buf) == 0 {
		in.buf, in.slot = b, ev.Slot
		return
	}
	// The harvest was told to keep off, but had already looked.
	in.buf = append(append(make([]byte, 0, len(in.buf)+len(b)), in.buf...), b...)
	c.freeSlot(&in.slot)
	c.l.sh.FreeSlot(ev.Slot)
}

// endInput ends the input: 0 is the end of the stream.
func (c *Conn) endInput(why unix.Errno) {
	if c.in.state != inEnded {
		c.hold()
		c.in.state, c.in.more, c.in.errno = inEnded, false, uint16(why)
		c.noticeEnd()
	}
}

// hold keeps the harvest off c, until what it has is read.
func (c *Conn) hold() {
	l, in := c.l, &c.in
	if in.state > inFresh {
		return
	}
	in.state = inHeld
	c.setInterest(poller.HarvestNothing)
	if l.away() && !in.late {
		in.late = true
		l.late = append(l.late, c)
		l.wake()
	}
}

// holdForGood is hold, and returns when no look brings anything any more.
func (c *Conn) holdForGood() {
	for c.hold(); c.in.late && c.end.state == endOpen; c.hold() {
		c.await(&c.readers)
	}
}

// inTime is called when what a look has brought is dispatched: whoever has waited for
// that goes on.
func (l *loop) inTime() {
	for _, c := range l.late {
		c.in.late = false
		c.readers.wakeAll(l)
	}
	clear(l.late)
	l.late = l.late[:0]
}

// settle lets the harvest receive again if all that has come was read.
func (c *Conn) settle() {
	in := &c.in
	if len(in.buf) > 0 || in.more || in.bulky || c.burst.paused {
		return
	}
	switch in.state {
	case inFresh:
		in.state = inFlowing
	case inHeld:
		in.state = inFlowing
		c.setInterest(poller.HarvestRecv)
	}
}

func (c *Conn) setInterest(what poller.Interest) {
	if c.fd >= 0 {
		c.l.sh.SetInterest(c.fd, c.gen, what)
	}
}

// consume reads from what was received.
func (c *Conn) consume(p []byte) int {
	in := &c.in
	n := copy(p, in.buf)
	c.burst.news = true
	if in.buf = in.buf[n:]; len(in.buf) == 0 {
		in.buf = nil
		c.freeSlot(&in.slot)
		if in.state == inHeld {
			c.settle()
		}
		c.noticeEnd()
	}
	return n
}

// beginReceive has the calling goroutine receive by itself: the harvest keeps off.
func (c *Conn) beginReceive() {
	c.hold()
	c.in.state, c.in.more = inReceiving, false
}

// endReceive takes in the result of a receive of up to want bytes.
func (c *Conn) endReceive(ret int64, want int) {
	in := &c.in
	if in.state != inReceiving {
		return // it has ended meanwhile
	}
	in.state = inHeld
	switch {
	case ret > 0:
		c.l.stats.bytesIn += uint64(ret)
		c.burst.news = true
		// A short receive has emptied the socket (epoll(7)), but the end of
		// the stream that follows it has no edge of its own.
		in.more = in.more || int(ret) == want || in.hup
		c.settle()
	case ret == 0:
		c.endInput(0)
	case ret == -int64(unix.EINTR):
		in.more = true
	case ret == -int64(unix.EAGAIN):
		c.settle() // unless an edge has come meanwhile
	default:
		c.endInput(unix.Errno(-ret))
	}
}

// copyOut moves unread input out of its slot, so that a handler that takes long
// does not keep the slot.
func (c *Conn) copyOut() {
	if c.in.slot >= 0 {
		c.in.buf = append([]byte(nil), c.in.buf...)
		c.freeSlot(&c.in.slot)
	}
}

// dropInput forgets what was received.
func (c *Conn) dropInput() {
	c.in.buf = nil
	c.freeSlot(&c.in.slot)
}

// freeSlot gives a slot back, if *slot is one.
func (c *Conn) freeSlot(slot *int32) {
	switch l := c.l; {
	case *slot < 0:
		return
	case l.away():
		l.freed = append(l.freed, *slot)
	default:
		l.sh.FreeSlot(*slot)
	}
	*slot = -1
}
