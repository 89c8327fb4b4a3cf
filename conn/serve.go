//go:build linux && (amd64 || arm64)

package conn

// turnBytes is how much input a connection may read before it is its neighbours'
// turn: what a client can have pipelined in it is some hundreds of microseconds'
// work at the most.
const turnBytes = 16 << 10

// servable reports whether a burst may start.
func (c *Conn) servable() bool {
	b := &c.burst
	return c.worker == nil && b.served && !b.opening && c.end.state == endOpen
}

// wantsServing reports whether there is something to serve c for: not what a burst
// has left as it was, be it bytes or the end of the stream. The Handler has its
// reasons, and would be called without end.
func (c *Conn) wantsServing() bool {
	b := &c.burst
	return c.hasNews() || b.poked || b.ended != NotEnded
}

// hasNews reports whether there is input that no burst has left as it was.
func (c *Conn) hasNews() bool { return c.in.unread() && c.burst.news && !c.burst.paused }

// serve starts a burst, inline or on a goroutine, if there is reason to.
func (c *Conn) serve() {
	if !c.servable() || !c.wantsServing() {
		return
	}
	l, b := c.l, &c.burst
	w := l.workers.get(l, l.policy.kind(c))
	w.c, c.worker = c, w
	if c.hasNews() {
		b.ended = NotEnded // something has come after all
	}
	b.boundary, b.over, b.poked, b.news = nil, false, false, false
	l.stats.bursts++
	if w.kind != spawnedWorker {
		l.run(w)
		return
	}
	c.hold()
	c.watch()
	l.others.readied = true
	w.start <- struct{}{} // of capacity one
}

// run resumes an inline worker until it waits, has had its turn, or its burst is over.
func (l *loop) run(w *worker) {
	w.suspended, w.wokenEarly, w.used = false, false, 0
	l.outside(w, w.resume)
	// Whoever resumed it takes it back, left behind or not.
	w.leftBehind = false
	if w.finished {
		l.endBurst(w)
		return
	}
	w.suspended = true
	if w.c.in.unread() {
		w.c.hold()
	}
	if w.wokenEarly {
		l.wakeWorker(w)
	}
}

// endBurst takes c from its worker, and sees what there is to do for it.
func (l *loop) endBurst(w *worker) {
	c := w.c
	b := &c.burst
	w.c, w.finished = nil, false
	if b.ended == EndedTimeout && c.readLate() {
		c.rdl = 0 // it has been reported, and nobody has set another
	}
	c.worker, b.boundary, b.over, b.ended = nil, nil, false, NotEnded
	c.freeSlot(&c.in.lent)
	l.workers.put(l, w)
	switch {
	case c.end.state != endOpen:
		c.dirty()
		return
	case c.in.unread():
		c.hold()
	default:
		c.settle()
	}
	c.watch()
	if !b.served {
		return
	}
	if c.wantsServing() {
		c.serveNextTurn()
	} else {
		c.arm()
	}
}

// serveNextTurn has c served after the neighbours.
func (c *Conn) serveNextTurn() {
	if !c.burst.queued {
		c.burst.queued = true
		c.l.toServe = append(c.l.toServe, c)
	}
	c.l.wake()
}

// serveLater has c served, whatever has come, after the burst under way if there is
// one.
func (c *Conn) serveLater() {
	c.burst.poked = true
	if c.servable() {
		c.serveNextTurn()
	}
}

// serveFor serves c, which has no worker, because of why.
func (c *Conn) serveFor(why Ended) {
	if c.servable() {
		c.burst.ended = why
		c.serve()
	}
}

// serveAgain starts a burst for each connection that waits for one. Those that have
// something left after it have to let the others go first.
func (l *loop) serveAgain(me uint64) bool {
	for range len(l.toServe) {
		c := l.toServe[0]
		l.toServe = l.toServe[1:]
		c.burst.queued = false
		c.serve()
		if !l.resumeWoken(me) {
			return false
		}
		l.flushIfLate()
	}
	if len(l.toServe) == 0 {
		l.toServe = nil
	}
	return true
}

// reader is the worker that what is read of c is counted for: c's, or that which
// the loop runs, if it is the caller and c an upstream's connection.
func (c *Conn) reader() *worker {
	if c.worker != nil {
		return c.worker
	}
	if w := c.l.running; w != nil && w.isCaller() {
		return w
	}
	return nil
}

// charge counts n bytes read in the burst under way.
func (c *Conn) charge(n int) {
	if w := c.reader(); w != nil {
		w.used += n
	}
}

// hasHadTurn reports whether the caller is an inline worker that has read enough.
func (c *Conn) hasHadTurn() bool {
	w := c.reader()
	return w != nil && w.used >= turnBytes && w.isCaller() && w.isCoroutine()
}

// giveTurn has the caller, reader's, go on after the loop's next look. Left
// behind or not: whoever resumed it takes it back.
func (c *Conn) giveTurn() {
	l, w := c.l, c.reader()
	l.later = append(l.later, w)
	l.wake()
	l.mu.Unlock()
	w.yield(struct{}{})
	l.mu.Lock()
}

// isCoroutine reports whether w, which is the caller, is a coroutine and can be switched
// away from.
func (w *worker) isCoroutine() bool {
	return w.kind == inlineWorker && !threadLocked(w.l.workers.lockWord)
}
