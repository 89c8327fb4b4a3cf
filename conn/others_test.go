//go:build linux && (amd64 || arm64)

package conn

import (
	"testing"

	"github.com/escahttp/esca/poller"
)

// finds is a backend whose every look finds so many events.
type finds struct {
	poller.Backend
	events int
}

func (b finds) Tick(int) (int, error)  { return b.events, nil }
func (b finds) Counts() *poller.Counts { return new(poller.Counts) }

// When a loop gives way to the rest of its process. A look that ends a yield may have
// events that have made the epoll readable, which would end a park before anybody has
// had a turn: it gives way at the next look instead, and what it owes stays.
func TestGiveWay(t *testing.T) {
	const due = giveWayEvery
	type tries = func(y *osyield) *osyieldTries
	none, busy, idle := tries(nil), func(y *osyield) *osyieldTries { return &y.busy }, func(y *osyield) *osyieldTries { return &y.idle }
	for _, c := range []struct {
		name          string
		since, events int
		ends          tries
		parks, owed   bool
		after         int // since
	}{
		{"nothing is owed", 0, 1, none, false, false, 2},
		{"a turn is owed", due, 1, none, true, true, 0},
		{"a yield while busy ends", due, 1, busy, false, false, due + 2},
		{"a yield before a park ends, and something has come", due, 1, idle, false, false, due + 2},
		{"a yield before a park ends, and nothing has come", due, 0, idle, true, false, due + 1},
		{"a park is a turn", due, 0, none, true, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newWorld(t).l
			l.be = finds{l.be, c.events}
			look := func() (parked bool) {
				l.phase = phaseCrossing
				parked = !l.look()
				if !parked {
					l.mu.Unlock()
				}
				return parked
			}
			l.others.since = c.since
			if c.ends != nil {
				l.osyield.tried = c.ends(&l.osyield)
			}
			if parked := look(); parked != c.parks || l.others.owed != c.owed || l.others.since != c.after {
				t.Fatalf("it has parked: %t, and owes %+v; want %t, %t after %d", parked, l.others, c.parks, c.owed, c.after)
			}
			if !c.owed {
				return
			}
			if parked := look(); parked || l.ready != c.events || l.others.owed {
				t.Errorf("back from the park: parked again %t, %d events in hand, and owes %+v", parked, l.ready, l.others)
			}
		})
	}
}
