//go:build linux && (amd64 || arm64)

package conn

import "time"

// Handler serves the connections of a Listener by bursts.
type Handler interface {
	// Open is called once for each new connection, on the loop, before
	// anything of it is read. It may write to c, close it and set deadlines; a
	// read deadline set here limits the wait for the first byte.
	Open(c *Conn)

	// Serve is called on a worker when c, which has no worker, has input, has
	// ended, or has been ended (Conn.Ended). It may use c as any net.Conn. When
	// it returns and c is still open, c waits for more input without a worker.
	Serve(c *Conn)
}

// Ended says that a connection without a worker is served because of something
// other than input.
type Ended uint8

// What can end a wait for input.
const (
	NotEnded      Ended = iota
	EndedTimeout        // the read deadline has passed, or the write deadline with something of Enqueue still queued
	EndedShutdown       // Listener.CloseIdle
)

// ErrBurstOver is an error for AtBoundary: a temporary net.Error, which crypto/tls
// passes on and does not hold on to as it would to io.EOF.
var ErrBurstOver error = burstOver{}

type burstOver struct{}

func (burstOver) Error() string   { return "esca: burst is over" }
func (burstOver) Timeout() bool   { return false }
func (burstOver) Temporary() bool { return true }

// AtBoundary is for Handlers: with an err it says that c is between two requests,
// so that a Read of its worker that would wait reports err, and ends the burst,
// instead. Until Serve returns, Close by the worker then does nothing: whoever
// serves by bursts may run code that closes what it cannot read from. Each burst
// begins with nil, not at a boundary; nil also undoes a burst's being over. Only
// its worker may call it.
func (c *Conn) AtBoundary(err error) {
	c.boundary = err
	if err == nil {
		c.burstOver = false
	}
}

// Ended is for Handlers: why Serve was called, other than for input. Only its
// worker may call it.
func (c *Conn) Ended() Ended { return c.ended }

// BurstOver is for Handlers: whether the present burst has come to an end at a
// boundary. Only its worker may call it.
func (c *Conn) BurstOver() bool { return c.burstOver }

// Gone is for Handlers: whether the peer has ended its stream, or the connection
// has failed, with nothing left to read.
func (c *Conn) Gone() bool {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return len(c.in) == 0 && !c.more && (c.eof || c.rerr != 0)
}

// Loop returns which of its listener's loops, from zero, c belongs to.
func (c *Conn) Loop() int { return c.l.index }

// OnGone has f called once, when c is closed and all it had to send is sent or
// given up. f is called with the loop's lock held: it must neither block nor
// touch any Conn. To be set in Handler.Open.
func (c *Conn) OnGone(f func()) {
	c.l.mu.Lock()
	c.onGone = f
	c.l.mu.Unlock()
}

// Detach is for Handlers: after it c is an ordinary connection, which is not
// served any more but belongs to whoever has it.
func (c *Conn) Detach() {
	c.AtBoundary(nil)
	c.l.mu.Lock()
	c.free, c.keepRDL = true, 0
	c.l.mu.Unlock()
}

// KeepReadDeadline is for Handlers: the next n calls of SetReadDeadline (all of
// them if n is negative; none if it is zero) change nothing, because the
// deadline that stands was set by who knows better.
func (c *Conn) KeepReadDeadline(n int8) {
	c.l.mu.Lock()
	c.keepRDL = n
	c.l.mu.Unlock()
}

// HoldDeadlines is for Handlers: it clears the write deadline, and has
// SetReadDeadline change nothing until FreeDeadlines.
func (c *Conn) HoldDeadlines() {
	c.l.mu.Lock()
	c.wdl, c.keepRDL = 0, -1
	c.l.mu.Unlock()
}

// FreeDeadlines undoes HoldDeadlines, and sets the read deadline to d from now;
// with zero there is none.
func (c *Conn) FreeDeadlines(d time.Duration) {
	c.l.mu.Lock()
	c.keepRDL, c.rdl = 0, 0
	if d > 0 {
		c.rdl = c.l.time() + int64(d)
	}
	c.l.mu.Unlock()
}

// SetContext attaches v to c. Context returns it. Not synchronised: for the one
// who serves c.
func (c *Conn) SetContext(v any) { c.context = v }

// Context returns what SetContext attached.
func (c *Conn) Context() any { return c.context }

// Since returns when c was accepted.
func (c *Conn) Since() time.Time { return clockBase.Add(time.Duration(c.since)) }

// ByWorker is for Handlers: whether the caller is the worker that serves c.
func (c *Conn) ByWorker() bool {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return c.byWorker()
}

// byWorker reports whether the caller is the worker that serves c.
func (c *Conn) byWorker() bool { return c.worker != nil && c.worker.isCaller() }

// servable reports whether a burst may start.
func (c *Conn) servable() bool {
	return c.worker == nil && !c.free && !c.opening && !c.closed
}

// serve starts a burst, inline or on a goroutine.
func (c *Conn) serve() {
	if !c.servable() {
		return
	}
	l := c.l
	w := l.workers.take(l, l.policy.kind(c))
	w.c, c.worker = c, w
	if c.unread() {
		c.ended = NotEnded // something has come after all
	}
	c.boundary, c.burstOver, c.poked = nil, false, false
	l.stats.bursts++
	if w.kind != spawnedWorker {
		l.run(w)
		return
	}
	c.hold()
	l.workers.readied = true
	w.start <- struct{}{} // of capacity one
}

// run resumes an inline worker until it waits or its burst is over.
func (l *Loop) run(w *worker) {
	w.suspended = false
	w.wokenEarly = false
	l.outside(w, w.resume)
	// Whoever resumed it takes it back, left behind or not.
	w.detached = false
	if w.finished {
		l.endBurst(w)
		return
	}
	w.suspended = true
	if w.c.unread() {
		w.c.hold()
	}
	if w.wokenEarly {
		l.runq = append(l.runq, w)
		l.wake()
	}
}

// endBurst takes c from its worker, and sees what there is to do for it.
func (l *Loop) endBurst(w *worker) {
	c := w.c
	w.c, w.finished = nil, false
	if c.ended == EndedTimeout && c.readLate() {
		c.rdl = 0 // it has been reported, and nobody has set another
	}
	c.worker, c.boundary, c.burstOver, c.ended = nil, nil, false, NotEnded
	c.giveBack()
	l.workers.put(l, w)
	switch {
	case c.closed:
		c.dirty()
	case c.free:
		if c.unread() {
			c.hold()
		}
	case c.unread() || c.poked:
		if c.unread() {
			c.hold()
		}
		if !c.isDue {
			c.isDue = true
			l.due = append(l.due, c)
		}
		l.wake()
	default:
		c.unhold()
		c.arm()
	}
}

// Poke is for Handlers: it has c served though nothing has come, once, after the
// burst under way if there is one. It reports false if c is closed, and will not
// be served any more. Any goroutine may call it.
func (c *Conn) Poke() bool {
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.closed {
		return false
	}
	c.poke()
	return true
}

func (c *Conn) poke() {
	c.poked = true
	if c.servable() && !c.isDue {
		c.isDue = true
		c.l.due = append(c.l.due, c)
		c.l.wake()
	}
}

// end serves c, which has no worker, because of why.
func (c *Conn) end(why Ended) {
	if c.servable() {
		c.ended = why
		c.serve()
	}
}
