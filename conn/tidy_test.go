//go:build linux && (amd64 || arm64)

package conn

import "testing"

// A loop that a crowd has left plans to give memory back, once; one that has not has
// nothing planned, and no timer.
func TestTidyIsPlannedForACrowdOnly(t *testing.T) {
	for _, tt := range []struct {
		name       string
		most, open int
		planned    bool
	}{
		{"nobody was there", 0, 0, false},
		{"few have left", crowd, 1, false},
		{"a crowd has left", crowd + 1, 1, true},
		{"a crowd has left, and others stay", 3 * crowd, 2 * crowd, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newWorld(t).l
			l.mu.Lock()
			defer l.mu.Unlock()
			l.now = clockNow()
			l.tidy.most, l.open = tt.most, tt.open
			l.stats.observe(l)
			if at := l.nextTimer(); (at != 0) != tt.planned {
				t.Fatalf("the next timer is at %d", at)
			}
			if !tt.planned {
				return
			}
			l.conns = make([]*Conn, 10*crowd)
			l.conns[3] = new(Conn)
			l.now = l.tidy.at
			if !l.retire(l.gen) || l.nextTimer() != 0 || l.tidy.most != tt.open {
				t.Errorf("after it: the next timer is at %d, %+v", l.nextTimer(), l.tidy)
			}
			if len(l.conns) != 4 || l.conns[3] == nil {
				t.Errorf("a list of %d is left", len(l.conns))
			}
			if l.stats.observe(l); l.nextTimer() != 0 {
				t.Error("it is planned again, with nothing to give back")
			}
		})
	}
}

// They have come back by then: nothing is given away.
func TestTidyWhenTheyHaveComeBack(t *testing.T) {
	l := newWorld(t).l
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = clockNow()
	l.tidy.most, l.open = crowd, 0
	l.stats.observe(l)
	l.open = crowd
	l.frames = append(l.frames, new(frame))
	l.now = l.tidy.at
	if l.retire(l.gen); l.nextTimer() != 0 || l.frames == nil {
		t.Errorf("the next timer is at %d, spare frames %v", l.nextTimer(), l.frames)
	}
}

// Of workers that were not needed all above a few end at once, the last by halves.
func TestSurplusWorkers(t *testing.T) {
	for _, tt := range []struct{ idle, ended int }{{0, 0}, {1, 1}, {2, 1}, {64, 32}, {128, 64}, {10_000, 10_000 - keptWorkers}} {
		if got := surplus(tt.idle); got != tt.ended {
			t.Errorf("of %d %d are ended, want %d", tt.idle, got, tt.ended)
		}
	}
}
