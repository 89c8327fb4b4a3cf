//go:build linux && (amd64 || arm64)

package conn

import "testing"

// When a driver lets other threads run before it parks: while that mostly finds
// something soon, and else so seldom that it costs nothing.
func TestOsyield(t *testing.T) {
	const soon, long = osyieldSoon / 10, osyieldSoon + 1
	each := func(n int) func(i int) bool { return func(i int) bool { return n > 0 && i%n == n-1 } }
	for _, c := range []struct {
		name         string
		misses, long func(try int) bool
		least, most  float64 // share of the parks that it is tried before
	}{
		{"more threads than processors", each(0), each(0), 1, 1},
		{"and a miss now and then", each(4), each(0), 1, 1},
		{"and another loop keeps the processor now and then", each(0), each(50), 1, 1},
		{"a processor is idle", each(1), each(0), 0, 0.015},
		{"half of the time", each(2), each(0), 0, 0.06},
		{"clients are pulled to it", func(i int) bool { return i%50 >= 20 }, each(0), 0, 0.1},
		{"a thread that never sleeps", each(0), each(1), 0, 0.001},
		{"that gets the processor each third time", each(0), each(3), 0, 0.003},
		{"and nothing has come", each(1), each(1), 0, 0.001},
	} {
		t.Run(c.name, func(t *testing.T) {
			var y osyieldTries
			const parks = 100_000
			tries := 0
			for range parks {
				if !y.due() {
					continue
				}
				ns := int64(soon)
				if c.long(tries) {
					ns = long
				}
				y.took(ns, !c.misses(tries))
				tries++
			}
			if share := float64(tries) / parks; share < c.least || share > c.most {
				t.Errorf("it is tried before %.4f of the parks, want %.4f to %.4f", share, c.least, c.most)
			}
			// It is found out that things have changed.
			rest := 0
			for !y.due() {
				rest++
			}
			if rest > osyieldBusy {
				t.Errorf("it rests for %d parks, want at most %d", rest, osyieldBusy)
			}
		})
	}
}

// When a driver that is busy lets other threads run: once in so many events, if its ticks
// have few of them, and hardly ever if it is kept from the processor. What it finds before
// it parks has no part in it.
func TestOsyieldBusy(t *testing.T) {
	for _, c := range []struct {
		name        string
		events      int // a look
		parks       int // a park after so many looks, with a try before that finds nothing; 0: never
		ns          int64
		least, most float64 // share of the looks that it is tried with
		mostIdle    float64 // share of the parks that it is tried before
	}{
		{"an event a look", 1, 0, osyieldSoon / 10, 1. / 50, 1. / 48, 0},
		{"a few", 8, 0, osyieldSoon / 10, 1. / 8, 1. / 6, 0},
		{"many", osyieldFull - 1, 0, osyieldSoon / 10, 0.33, 0.34, 0},
		{"full ticks", osyieldFull, 0, osyieldSoon / 10, 0, 0, 0},
		{"a processor is idle", 8, 0, 300, 1. / 8, 1. / 6, 0},
		{"and it parks now and then", 8, 15, 300, 1. / 10, 1. / 6, 0.05},
		{"and it parks often", 8, 5, 300, 0, 0, 0.015},
		{"beside a thread that never sleeps", 8, 0, osyieldSoon + 1, 0, 0.001, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var y osyield
			look := func(tried *osyieldTries, m int, found bool) {
				y.tried, y.ns = tried, c.ns
				want := 0
				if tried != nil {
					want = int(c.ns / osyieldEvent)
				}
				if waited := y.looked(m, found); waited != want {
					t.Fatalf("a try of %d ns counts as %d events, want %d", c.ns, waited, want)
				}
			}
			tries, idle, parks := 0, 0, 0
			const looks = 100_000
			for i := range looks {
				if c.parks > 0 && i%c.parks == c.parks-1 {
					parks++
					look(nil, 0, false)
					if y.idle.due() {
						idle++
						look(&y.idle, 0, false)
					}
				} else if y.dueBusy() {
					tries++
					look(&y.busy, c.events, true)
				} else {
					look(nil, c.events, true)
				}
			}
			if share := float64(tries) / looks; share < c.least || share > c.most {
				t.Errorf("it is tried with %.4f of the looks, want %.4f to %.4f", share, c.least, c.most)
			}
			if share := float64(idle) / float64(max(parks, 1)); share > c.mostIdle {
				t.Errorf("it is tried before %.4f of the parks, want at most %.4f", share, c.mostIdle)
			}
		})
	}
}
