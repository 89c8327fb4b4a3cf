//go:build linux && (amd64 || arm64)

package conn

import "fmt"

// Dump tells the state of every loop and connection, for tests that hang.
func (ln *Listener) Dump() (s string) {
	for i, l := range ln.group.loops {
		l.mu.Lock()
		s += fmt.Sprintf("loop %d: gen %d inKernel %v woken %v inUser %v closing %v events %d/%d entries %d dirty %d due %d runq %d posted %d busy %d readied %v credit %d\n",
			i, l.gen, l.inKernel, l.woken, l.inUser, l.closing, l.next, l.ready, l.table.n, len(l.dirty), len(l.due), len(l.runq), len(l.posted), l.workers.busy, l.workers.readied, l.policy.credit)
		for _, c := range l.conns {
			if c == nil {
				continue
			}
			w := ""
			if c.worker != nil {
				w = fmt.Sprintf("inline %v finished %v suspended %v early %v detached %v", c.worker.kind, c.worker.finished, c.worker.suspended, c.worker.wokenEarly, c.worker.detached)
			}
			s += fmt.Sprintf("  fd %d: in %d slot %d more %v hup %v eof %v held %v receiving %v interest %d; entry %d own %v needOut %v asked %v armed %v wlocked %v out %d; closed %v queued %v draining %v dirty %v due %v free %v opening %v busy %d slow %d boundary %v over %v readers %v writers %v rerr %v werr %v; worker: %s\n",
				c.fd, len(c.in), c.slot, c.more, c.hup, c.eof, c.held, c.receiving, l.sh.InterestOf(c.fd, c.gen), c.entry, c.entryOwn, c.needOut, c.outAsked, c.outArmed, c.wlocked, len(c.out),
				c.closed, c.closeQueued, c.draining, c.isDirty, c.isDue, c.free, c.opening, c.busy, c.slow, c.boundary, c.burstOver, !c.readers.empty(), !c.writers.empty(), c.rerr, c.werr, w)
		}
		l.mu.Unlock()
	}
	return s
}
