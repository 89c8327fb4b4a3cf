//go:build linux && (amd64 || arm64)

package conn

import (
	"sync"
	"time"
)

// unusedFor is how long the loops in common outlive their last connection: who dials,
// closes and dials again does not make them anew each time.
const unusedFor = time.Second

// sharedLoops has the loops that connections go to for which there are no others.
var sharedLoops struct {
	mu sync.Mutex
	g  *group // nil: none
}

// shareLoops returns the loops in common, which do not end before they are unused.
func shareLoops() (*group, error) {
	s := &sharedLoops
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.g == nil {
		g, err := newGroup(buildOptions(nil))
		if err != nil {
			return nil, err
		}
		g.unused = time.AfterFunc(time.Hour, g.endUnused)
		g.unused.Stop()
		g.start()
		s.g = g
	}
	s.g.use()
	return s.g, nil
}

// use counts whatever needs the group's loops; unuse has it forgotten. Of a Listener's
// loops nobody asks.
func (g *group) use() { g.uses.Add(1) }

func (g *group) unuse() {
	if g.uses.Add(-1) == 0 && g.unused != nil {
		g.unused.Reset(unusedFor)
	}
}

// endUnused ends the loops in common if nobody uses them.
func (g *group) endUnused() {
	s := &sharedLoops
	s.mu.Lock()
	unused := s.g == g && g.uses.Load() == 0
	if unused {
		s.g = nil
	}
	s.mu.Unlock()
	if unused {
		g.close()
	}
}
