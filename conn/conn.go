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
// loop next looks for events. Any number of goroutines may use it at once.
//
// It has the methods of *net.TCPConn; on a unix socket those that set TCP options
// return an error. What only the Handler that serves it may do is on Burst.
//
// It is three machines (input, output, end), each with its states drawn where it is
// declared, the wait for them (readers, writers, deadlines), and what serves it.
type Conn struct {
	l   *loop
	fd  int32 // -1 once it is closed
	gen uint32

	in      input
	out     output
	end     end
	readers waitq
	writers waitq

	isDirty  bool  // in loop.dirty
	watched  bool  // registered with the epoll, or about to be
	guest    bool  // dialled: Listener.Wait does not wait for it
	rdl, wdl int64 // deadlines; 0: none
	timer    timer

	worker *worker // that serves it now
	burst  burst

	since int64 // when it was accepted
	peer  sockaddr
	addrs *[2]net.Addr // local, remote; nil until somebody asks
	from  *origin
}

// origin is what connections have in common that were accepted at one address, or
// dialled on one network.
type origin struct {
	network string   // as it was given to Listen, or Dial; errors show it
	addr    net.Addr // listened on; nil: dialled
}

var _ interface {
	net.Conn
	io.ReaderFrom
	io.WriterTo
} = (*Conn)(nil)

// register makes fd, which must be non-blocking, a connection of l; served: for the
// Handler, which is to be asked first (toOpen).
func (l *loop) register(fd int32, peer sockaddr, from *origin, served bool) *Conn {
	l.gens = (l.gens + 1) & poller.GenMask
	c := &Conn{l: l, fd: fd, gen: l.gens, peer: peer, from: from, since: clockNow()}
	c.in.slot, c.in.lent, c.out.entry = -1, -1, -1
	c.burst.served = served
	c.timer.c = c
	for int(fd) >= len(l.conns) {
		l.conns = append(l.conns, make([]*Conn, int(fd)+64-len(l.conns))...)
	}
	l.conns[fd] = c
	l.open++
	l.tidy.most = max(l.tidy.most, l.open)
	l.sh.SetInterest(fd, c.gen, poller.HarvestRecv)
	switch {
	case served:
	case l.away():
		c.watch()
	default:
		c.enroll()
	}
	return c
}

// conn returns the connection that an event is for, nil if it is gone.
func (l *loop) conn(fd int32, gen uint32) *Conn {
	if int(fd) < len(l.conns) {
		if c := l.conns[fd]; c != nil && c.gen == gen {
			return c
		}
	}
	return nil
}

// dispatch takes one event in.
func (l *loop) dispatch(ev *poller.Event) {
	if pl := l.packets; pl != nil && pl.dispatch(ev) {
		return
	}
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
	if ev.Mask&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		c.writableAgain()
	}
	if c.take(ev) {
		c.arrived()
	}
}

// arrived gives what has come to whoever wants it.
func (c *Conn) arrived() {
	switch {
	case c.end.state != endOpen:
		c.dropInput()
		c.hold()
		c.dirty()
	case !c.readers.empty():
		c.hold()
		c.readers.wakeAll(c.l)
	case c.burst.paused:
		c.hold()
		c.copyOut()
	case c.servable():
		c.serve()
	default:
		c.hold()
	}
}

// dirty has the driver look at c before it next crosses (advance).
func (c *Conn) dirty() {
	if !c.isDirty {
		c.isDirty = true
		c.l.dirty = append(c.l.dirty, c)
	}
	c.l.wake()
}

// queueDirty has every connection that is dirty now record what it has for the
// table. What becomes so by that is for the next tick.
func (l *loop) queueDirty() {
	l.packets.advance()
	n := len(l.dirty)
	for i := range n {
		c := l.dirty[i]
		c.isDirty = false
		c.advance()
	}
	rest := copy(l.dirty, l.dirty[n:])
	clear(l.dirty[rest:])
	l.dirty = l.dirty[:rest]
}

// advance does for c what needs the table. Not while the driver is away, and not
// from within collect.
func (c *Conn) advance() {
	if c.end.state >= endClosing {
		return
	}
	if !c.watched && (c.end.state != endFlushing || c.out.state == outBlocked) {
		c.enroll()
	}
	c.advanceOutput()
	c.advanceEnd()
}

// polled takes in the result of an epoll_ctl of the table. Without a registration
// nothing would ever come of the connection.
func (c *Conn) polled(e *poller.Entry) {
	if e.Ret >= 0 || c.end.state == endGone {
		return
	}
	c.endInput(unix.Errno(-e.Ret))
	c.failOutput(unix.Errno(-e.Ret))
}

// call runs one system call on c's descriptor, outside the table and without
// the lock; the descriptor stays open meanwhile. It may block: the loop can be
// stolen from a handler that is inside it.
func (c *Conn) call(e *poller.Entry) {
	l := c.l
	c.beginCalls()
	l.be.Call(e)
	c.endCalls()
	l.stats.calls.CountCall(e)
}

// beginCalls releases the lock for system calls on the descriptor, which stays open
// until endCalls.
func (c *Conn) beginCalls() {
	c.end.calls++
	c.l.mu.Unlock()
}

func (c *Conn) endCalls() {
	c.l.mu.Lock()
	if c.end.calls--; c.end.state != endOpen {
		c.dirty()
	}
}
