//go:build linux && (amd64 || arm64)

package conn

import (
	"slices"
	"testing"
	"time"
)

// Idle deadlines that move with each request cost nothing while they move: of 100,000
// connections none is moved in the heap, nothing is allocated, and no timer of Go's is
// set. When the time comes that the first ones were set to, nobody is disturbed.
func TestMovingDeadlinesCostNothing(t *testing.T) {
	const n = 100_000
	l := newWorld(t).l
	l.mu.Lock()
	l.phase = phaseUser // a Handler's
	l.now = clockNow()
	var conns []*Conn
	for i := range n {
		c := &Conn{l: l, fd: int32(i), from: networks["tcp"]}
		c.in.slot, c.in.lent, c.out.entry, c.burst.served = -1, -1, -1, true
		c.timer.c = c
		conns = append(conns, c)
	}
	l.mu.Unlock()
	began := time.Now()
	const idle = time.Hour
	for _, c := range conns { // as Handler.Open does
		c.SetReadDeadline(began.Add(idle))
	}
	if len(l.timers.heap) != n {
		t.Fatalf("%d deadlines are looked after, of %d", len(l.timers.heap), n)
	}
	before := slices.Clone(l.timers.heap)
	at := l.alarm.at
	moved := 0
	move := func() {
		moved++
		for i, c := range conns {
			c.SetReadDeadline(began.Add(idle + time.Duration(moved*n+i)*time.Millisecond))
		}
	}
	if allocs := testing.AllocsPerRun(3, move); allocs != 0 {
		t.Errorf("moving %d deadlines allocates %v times", n, allocs)
	}
	if !slices.Equal(l.timers.heap, before) || l.alarm.at != at {
		t.Error("moving deadlines has moved timers")
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase = phaseAwake
	first := clockOf(began.Add(idle))
	for l.timers.first() <= first {
		due := l.timers.heap[0]
		l.timers.remove(due)
		due.c.timeUp(first)
	}
	if l.stats.bursts != 0 || len(l.timers.heap) != n {
		t.Errorf("%d connections were served, and %d of %d are looked after", l.stats.bursts, len(l.timers.heap), n)
	}
	last := clockOf(began.Add(idle + time.Duration(moved*n)*time.Millisecond))
	if got := l.timers.first(); got != last {
		t.Errorf("the first is due at %d, want %d", got, last)
	}
}
