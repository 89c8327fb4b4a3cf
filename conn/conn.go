//go:build linux && (amd64 || arm64)

package conn

import (
	"io"
	"net"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// Conn is a connection of a loop: a net.Conn whose writes and closes are queued
// and handed to the kernel together with those of its neighbours, before the
// loop next waits. Any number of goroutines may use it at once.
//
// It also has the methods of *net.TCPConn; on a unix socket those that set TCP
// options return an error.
type Conn struct {
	// What a plain request touches stands first, in few cache lines.

	l   *Loop
	fd  int32 // -1 once it is closed
	gen uint32

	// Input. While there is any that was not read, or a receive of our own is
	// under way, the harvest must not touch the socket (held).
	in        []byte
	slot      int32 // that in lies in, or -1
	lent      int32 // slot that Input has given out, or -1
	more      bool  // the socket may hold more
	hup       bool  // the peer has ended its stream, or the connection has failed
	eof       bool
	held      bool // the harvest is told to keep off
	receiving bool // a reader is inside recv, without the lock

	// Output. What is written goes to the table (entry), or behind out.
	entryOwn bool // the send in the table is of out, not of the arena
	needOut  bool // the socket is full: nothing is sent until it reports writable
	outAsked bool // and it has been asked to report
	outArmed bool // EPOLLOUT is in the registration
	wlocked  bool // a Write that does not copy, or a ReadFrom, is under way
	wantShut bool // CloseWrite was called
	shut     bool // and has been recorded
	entry    int32
	out      []byte

	closed      bool // Close was called, or the loop gave it up
	closeQueued bool
	draining    bool // closed with input unread: discard, or the peer sees a reset
	noLinger    bool
	isDirty     bool
	isDue       bool
	free        bool // not served by a Handler: used by whoever has it
	opening     bool // Handler.Open is under way
	duped       bool // File has given out another descriptor
	poked       bool // to be served though nothing has come
	bulky       bool // what comes does not fit into a slot: see Input
	enqueues    bool // nobody waits in Write: the Handler is told what happens to output
	lingerSec   int8 // of SetLinger; 0: the listener's limit
	burstOver   bool
	ended       Ended
	keepRDL     int8  // how many SetReadDeadline to ignore; <0: all
	busy        int8  // system calls under way without the lock
	slow        uint8 // see policy

	worker     *worker
	boundary   error // at a boundary: what Read reports instead of waiting
	context    any
	rdl, wdl   int64 // deadlines
	readers    waitq
	rerr, werr unix.Errno

	writers    waitq
	lingerTill int64
	timer      timer
	flying     []byte // keeps what the kernel may be reading reachable
	onGone     func()
	since      int64 // when it was accepted
	peer       sockaddr
	addrs      *[2]net.Addr // local, remote; nil until somebody asks
	ln         *Listener
}

var _ interface {
	net.Conn
	io.ReaderFrom
} = (*Conn)(nil)

// register makes fd, which must be non-blocking, a connection of l; free: not
// for the Handler.
func (l *Loop) register(fd int32, peer sockaddr, ln *Listener, free bool) *Conn {
	l.gens = (l.gens + 1) & poller.GenMask
	c := &Conn{l: l, fd: fd, gen: l.gens, slot: -1, lent: -1, entry: -1, peer: peer, ln: ln, free: free, since: clockNow()}
	c.timer.c = c
	for int(fd) >= len(l.conns) {
		l.conns = append(l.conns, make([]*Conn, max(64, len(l.conns)))...)
	}
	l.conns[fd] = c
	l.open++
	l.load.Add(1)
	l.sh.SetInterest(fd, c.gen, poller.HarvestRecv)
	l.queuePoll(c, unix.EPOLL_CTL_ADD, poller.MaskIn)
	return c
}

// conn returns the connection that an event is for, nil if it is gone.
func (l *Loop) conn(fd int32, gen uint32) *Conn {
	if int(fd) < len(l.conns) {
		if c := l.conns[fd]; c != nil && c.gen == gen {
			return c
		}
	}
	return nil
}

// dispatch takes one event in.
func (l *Loop) dispatch(ev *poller.Event) {
	if ev.FD == l.accepts.fd && ev.Gen == l.accepts.gen {
		l.accepted(ev)
		return
	}
	c := l.conn(ev.FD, ev.Gen)
	if c == nil {
		if ev.Slot >= 0 {
			l.sh.FreeSlot(ev.Slot)
		}
		return
	}
	if c.needOut && ev.Mask&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		c.needOut, c.outAsked = false, false
		c.writers.wakeAll(l)
		c.dirty()
	}
	const hangup = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	c.hup = c.hup || ev.Mask&hangup != 0
	switch {
	case ev.Slot >= 0:
		c.harvested(ev)
		// The end of the stream does not come with an edge of its own.
		c.more = c.more || c.hup || int(ev.N) == l.sh.SlotSize
	case ev.EOF != 0:
		c.eof = true
	case ev.Err != 0:
		c.rerr = unix.Errno(ev.Err)
	case ev.Mask&(unix.EPOLLIN|hangup) != 0:
		c.more = true
	default:
		return
	}
	c.arrived()
}

// harvested takes over the slot of ev.
func (c *Conn) harvested(ev *poller.Event) {
	sh := c.l.sh
	b := sh.Slot(ev.Slot)[:ev.N]
	c.l.stats.bytesIn += uint64(ev.N)
	if len(c.in) == 0 {
		c.in, c.slot = b, ev.Slot
		return
	}
	// The harvest was told to keep off, but had already looked.
	c.in = append(append(make([]byte, 0, len(c.in)+len(b)), c.in...), b...)
	if c.slot >= 0 {
		sh.FreeSlot(c.slot)
		c.slot = -1
	}
	sh.FreeSlot(ev.Slot)
}

// arrived gives what has come to whoever wants it.
func (c *Conn) arrived() {
	switch {
	case c.closed:
		c.hold()
		c.dirty()
	case !c.readers.empty():
		c.hold()
		c.readers.wakeAll(c.l)
	case c.servable():
		c.serve()
	default:
		c.hold()
	}
}

// unread reports whether a reader would find something without waiting.
func (c *Conn) unread() bool { return len(c.in) > 0 || c.more || c.eof || c.rerr != 0 }

// hold keeps the harvest off c, until what it has is read.
func (c *Conn) hold() {
	if !c.held && c.fd >= 0 {
		c.held = true
		c.l.sh.SetInterest(c.fd, c.gen, poller.HarvestNothing)
	}
}

// unhold lets the harvest receive again: all that has come was read.
func (c *Conn) unhold() {
	if c.held && c.fd >= 0 && !c.receiving && !c.bulky {
		c.held = false
		c.l.sh.SetInterest(c.fd, c.gen, poller.HarvestRecv)
	}
}

// freeSlot gives back the slot that in lies in.
func (c *Conn) freeSlot() {
	c.l.freeSlot(c.slot)
	c.slot = -1
}

func (l *Loop) freeSlot(slot int32) {
	switch {
	case slot < 0:
	case l.inKernel:
		l.freed = append(l.freed, slot)
	default:
		l.sh.FreeSlot(slot)
	}
}

// copyOut moves unread input out of its slot, so that a handler that takes long
// does not keep the slot.
func (c *Conn) copyOut() {
	if c.slot >= 0 {
		c.in = append([]byte(nil), c.in...)
		c.freeSlot()
	}
}

// dirty has the driver look at c before it next waits (advance).
func (c *Conn) dirty() {
	if !c.isDirty {
		c.isDirty = true
		c.l.dirty = append(c.l.dirty, c)
	}
	c.l.wake()
}

func (l *Loop) queueDirty() {
	for i := 0; i < len(l.dirty); i++ {
		c := l.dirty[i]
		l.dirty[i] = nil
		c.isDirty = false
		c.advance()
	}
	l.dirty = l.dirty[:0]
}

// call runs one system call on c's descriptor, outside the table and without
// the lock; the descriptor stays open meanwhile.
func (c *Conn) call(e *poller.Entry) {
	l := c.l
	c.busy++
	l.mu.Unlock()
	l.be.Call(e)
	l.mu.Lock()
	c.busy--
	l.stats.calls.CountCall(e)
	if c.closed {
		c.dirty()
	}
}
