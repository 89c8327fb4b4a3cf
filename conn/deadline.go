//go:build linux && (amd64 || arm64)

package conn

import "time"

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, true, true) }

// SetReadDeadline sets when Read gives up; a zero time is never. It applies to
// reads that wait already, and costs neither a system call nor a timer while
// none does.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, true, false) }

// SetWriteDeadline sets when Write, waiting for the peer to take data, gives up.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, false, true) }

func (c *Conn) setDeadlines(t time.Time, read, write bool) error {
	at := clockOf(t)
	c.l.mu.Lock()
	if c.closed {
		c.l.mu.Unlock()
		return c.opError("set", errClosed)
	}
	defer c.l.mu.Unlock()
	if read {
		switch {
		case c.keepRDL > 0:
			c.keepRDL--
		case c.keepRDL == 0:
			c.rdl = at
		}
	}
	if write {
		c.wdl = at
	}
	if !c.readers.empty() || !c.writers.empty() || c.servable() {
		c.arm()
	}
	return nil
}

// readLate reports whether the read deadline has passed. The loop's own time is
// good enough: a reader that waits is woken by a timer, to the millisecond.
func (c *Conn) readLate() bool { return c.rdl != 0 && c.rdl <= c.l.time() }

// writeLate is the same for the write deadline.
func (c *Conn) writeLate() bool { return c.wdl != 0 && c.wdl <= c.l.time() }

// time is the present, or when the driver, being awake, last came from the
// kernel: that saves reading the clock again and again.
func (l *Loop) time() int64 {
	if l.inKernel {
		return clockNow()
	}
	return l.now
}

// arm makes sure that the loop looks at c when the first thing is due that
// somebody waits for.
func (c *Conn) arm() {
	at := int64(0)
	first := func(t int64) {
		if t != 0 && (at == 0 || t < at) {
			at = t
		}
	}
	first(c.rdl)
	first(c.wdl)
	if c.closed {
		first(c.lingerTill)
	}
	if at == 0 || c.fd < 0 {
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
func (l *Loop) fireTimers(me uint64) bool {
	if l.timers.first() == 0 {
		return true
	}
	now := clockNow()
	l.now = now
	for at := l.timers.first(); at != 0 && at <= now; at = l.timers.first() {
		t := l.timers.heap[0]
		l.timers.remove(t)
		t.c.due(now)
		if !l.resumeWoken(me) {
			return false
		}
	}
	return true
}

// due does what has fallen due for c, and sets its timer to what is next.
func (c *Conn) due(now int64) {
	passed := func(t int64) bool { return t != 0 && t <= now }
	next := int64(0)
	for _, t := range [...]int64{c.rdl, c.wdl, c.lingerTill} {
		if t > now && (next == 0 || t < next) && (t != c.lingerTill || c.closed) {
			next = t
		}
	}
	if next != 0 {
		c.l.timers.set(&c.timer, next)
	}
	if c.closed {
		if passed(c.lingerTill) {
			c.lingered()
		}
		return
	}
	if passed(c.wdl) {
		c.writers.wakeAll(c.l)
		if c.enqueues && c.queued() > 0 {
			c.end(EndedTimeout)
			return
		}
	}
	if passed(c.rdl) {
		if !c.readers.empty() {
			c.readers.wakeAll(c.l)
		} else {
			c.end(EndedTimeout)
		}
	}
}
