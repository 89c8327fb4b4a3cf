//go:build linux && (amd64 || arm64)

package conn

import "fmt"

// Dump tells the state of every loop and connection, for tests that hang.
func (ln *Listener) Dump() (s string) {
	for i, l := range ln.group.loops {
		l.mu.Lock()
		s += fmt.Sprintf("loop %d: gen %d phase %d woken %v closing %v events %d/%d entries %d dirty %d toServe %d runq %d later %d posted %d busy %d others %+v credit %d accepts %d %v %v\n",
			i, l.gen, l.phase, l.woken, l.closing, l.next, l.ready, l.table.n, len(l.dirty), len(l.toServe), len(l.runq), len(l.later), len(l.posted), l.workers.busy, l.others, l.policy.credit, l.accepts.fd, l.accepts.again, l.accepts.full)
		for _, c := range l.conns {
			if c == nil {
				continue
			}
			w := ""
			if c.worker != nil {
				w = fmt.Sprintf("kind %v finished %v suspended %v early %v left behind %v", c.worker.kind, c.worker.finished, c.worker.suspended, c.worker.wokenEarly, c.worker.leftBehind)
			}
			in, o := c.in, c.out
			in.buf, o.backlog, o.flying = nil, nil, nil
			s += fmt.Sprintf("  fd %d: in %d %+v interest %d; out %d %+v; end %+v; burst %+v; dirty %v readers %v writers %v; worker: %s\n",
				c.fd, len(c.in.buf), in, l.sh.InterestOf(c.fd, c.gen), len(c.out.backlog), o, c.end, c.burst, c.isDirty, !c.readers.empty(), !c.writers.empty(), w)
		}
		l.mu.Unlock()
	}
	return s
}

// Spares reports whether the first loop asks before it accepts.
func (ln *Listener) Spares() bool {
	l := ln.group.loops[0]
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepts.sparing
}

// Ended is closed when every loop of ln has ended.
func (ln *Listener) Ended() <-chan struct{} { return ln.group.ended() }

// SharedLoops is closed when the loops in common have ended that there are now; nil:
// there are none.
func SharedLoops() <-chan struct{} {
	sharedLoops.mu.Lock()
	defer sharedLoops.mu.Unlock()
	if sharedLoops.g == nil {
		return nil
	}
	return sharedLoops.g.ended()
}

func (g *group) ended() <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		for _, l := range g.loops {
			<-l.done
		}
		close(ended)
	}()
	return ended
}
