//go:build linux && (amd64 || arm64)

package conn

// policy decides whether a burst runs inline. Inline is cheaper by a switch of
// goroutines, about a microsecond, but a handler that blocks then costs all its
// neighbours the millisecond until the watcher comes. So a connection whose
// handlers have proved slow gets goroutines until a few in a row were quick, and
// a loop on which others keep proving slow gives goroutines to all, until about
// a hundred quick bursts have outweighed each slow one.
type policy struct {
	mode   Dispatch
	credit int // quick bursts still to come before unknown connections run inline
}

const (
	slowBurst    = 500_000 // ns: longer than this inline would have hurt the neighbours
	slowWeight   = 128     // quick bursts that outweigh a slow one
	slowMost     = 8 * slowWeight
	connRecovery = 8 // quick bursts after which a connection counts as quick again
)

// kind says which worker a burst of c gets.
func (p *policy) kind(c *Conn) workerKind {
	switch {
	case p.mode == DispatchGoroutine, p.mode != DispatchInline && (p.credit > 0 || c.burst.slow > 0):
		return spawnedWorker
	case p.mode == DispatchDirect:
		return directWorker
	}
	return inlineWorker
}

// blocked is told of an inline burst that the watcher had to take the loop from.
func (p *policy) blocked(c *Conn) { p.isSlow(c) }

// took is told how long, in nanoseconds, a burst on a goroutine took.
func (p *policy) took(c *Conn, ns int64) {
	if ns >= slowBurst {
		p.isSlow(c)
		return
	}
	if c.burst.slow > 0 {
		c.burst.slow--
	}
	if p.credit > 0 {
		p.credit--
	}
}

func (p *policy) isSlow(c *Conn) {
	if c.burst.slow == 0 { // a known one says nothing about the others
		p.credit = min(p.credit+slowWeight, slowMost)
	}
	c.burst.slow = connRecovery
}
