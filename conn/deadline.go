//go:build linux && (amd64 || arm64)

package conn

import (
	"net"
	"time"
)

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, true, true) }

// SetReadDeadline sets when Read gives up; a zero time is never. It applies to
// reads that wait already, and costs neither a system call nor a timer while
// none does.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, true, false) }

// SetWriteDeadline sets when Write, waiting for the peer to take data, gives up. If it
// passes while nobody waits and something that Write has accepted is still to be
// sent, that fails, a tenth of a second later where somebody may be between two
// Writes: the connection cannot be used any further, which the next call reports. A
// time that has passed already concerns later calls only.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, false, true) }

func (c *Conn) setDeadlines(t time.Time, read, write bool) error {
	at := clockOf(t)
	c.l.mu.Lock()
	if c.end.state != endOpen {
		c.l.mu.Unlock()
		return c.opError("set", net.ErrClosed)
	}
	defer c.l.mu.Unlock()
	if read {
		switch b := &c.burst; {
		case b.pinned > 0:
			b.pinned--
		case b.pinned == 0:
			c.rdl = at
		}
	}
	if write {
		c.wdl = at
		c.out.told = at != 0 && at <= c.l.time()
	}
	if !c.readers.empty() || !c.writers.empty() || c.servable() {
		c.arm()
	}
	return nil
}

// readLate reports whether the read deadline has passed. The loop's own time is
// good enough: a reader that waits is woken by a timer, to the millisecond.
func (c *Conn) readLate() bool { return c.rdl != 0 && c.rdl <= c.l.time() }

// time is the present, or when the driver, being awake, last came from the
// kernel: that saves reading the clock again and again.
func (l *loop) time() int64 {
	if l.away() {
		return clockNow()
	}
	return l.now
}

// nextDeadline is when c next has to be looked at, later than after; 0: it has not.
func (c *Conn) nextDeadline(after int64) (at int64) {
	first := func(t int64) {
		if t > after && (at == 0 || t < at) {
			at = t
		}
	}
	switch c.end.state {
	case endOpen:
		first(c.rdl)
		if c.out.waits() {
			first(c.wdl)
			if c.wdl != 0 && !c.out.told {
				first(c.wdl + int64(writeGrace))
			}
		}
	case endFlushing, endDiscarding:
		first(c.end.limit)
	}
	return at
}

// arm makes sure that the loop looks at c when the first thing is due that
// somebody waits for.
func (c *Conn) arm() {
	at := c.nextDeadline(0)
	if at == 0 {
		return
	}
	ts := &c.l.timers
	before := ts.first()
	ts.set(&c.timer, at)
	if before == 0 || at < before {
		c.l.wake()
	}
}

// fireTimers looks at every connection whose time has come.
func (l *loop) fireTimers(me uint64) bool {
	if l.timers.first() == 0 {
		return true
	}
	now := clockNow()
	l.now = now
	for at := l.timers.first(); at != 0 && at <= now; at = l.timers.first() {
		t := l.timers.heap[0]
		l.timers.remove(t)
		t.c.timeUp(now)
		if !l.resumeWoken(me) {
			return false
		}
	}
	return true
}

// timeUp does what the time has come for, and sets the timer to what is next.
func (c *Conn) timeUp(now int64) {
	if next := c.nextDeadline(now); next != 0 {
		c.l.timers.set(&c.timer, next)
	}
	passed := func(t int64) bool { return t != 0 && t <= now }
	if c.end.state != endOpen {
		if passed(c.end.limit) {
			c.lingered()
		}
		return
	}
	if passed(c.wdl) {
		c.writers.wakeAll(c.l)
		c.overdue()
	}
	if passed(c.rdl) {
		if !c.readers.empty() {
			c.readers.wakeAll(c.l)
		} else {
			c.serveFor(EndedTimeout)
		}
	}
}
