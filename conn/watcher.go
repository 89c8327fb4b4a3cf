//go:build linux && (amd64 || arm64)

package conn

import (
	"sync"
	"sync/atomic"
	"time"
)

// A driver that is found inside the same user code twice, with watchPeriod in
// between, has its loop taken from it.
const (
	watchPeriod = time.Millisecond
	calmPeriod  = 10 * time.Millisecond
	alertFor    = time.Second
)

// watcher notices drivers that handlers keep.
//
// A goroutine that wakes up every millisecond costs a server with few connections a
// fifth of its time, above all in a virtual machine. So the drivers watch each other:
// whoever comes from the kernel a millisecond after the last look takes the next one.
// For loops that nobody comes by at, the watcher's own goroutine looks every ten
// milliseconds; again after one, if it has found a driver inside user code; every
// millisecond, for a second after a loop was taken; and not at all while no user
// code runs.
type watcher struct {
	asleep atomic.Bool
	up     chan struct{}
	loops  []*loop
	lookAt atomic.Int64 // when the next look is wanted
	quit   chan struct{}

	lastRan uint64 // of the watcher's goroutine: see sleep

	mu    sync.Mutex // of what looks remember
	seen  []uint64   // userSeq at the last look, 0: was not in user code
	alert int64      // until when to look every millisecond
}

func newWatcher(loops []*loop) *watcher {
	return &watcher{loops: loops, seen: make([]uint64, len(loops)), up: make(chan struct{}, 1), quit: make(chan struct{})}
}

// wake is called by a driver that has found the watcher asleep.
func (w *watcher) wake() {
	if w.asleep.CompareAndSwap(true, false) {
		w.up <- struct{}{} // of capacity one, and only the winner of the swap sends
	}
}

// comeBy is called by a driver that has come from the kernel, with its lock.
func (w *watcher) comeBy(now int64) {
	if len(w.loops) > 1 && now >= w.lookAt.Load() && w.mu.TryLock() {
		w.look(now)
		w.mu.Unlock()
	}
}

func (w *watcher) watch() {
	t := time.NewTimer(calmPeriod)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-w.quit:
			return
		}
		now := clockNow()
		if now < w.lookAt.Load() { // the drivers see to it
			t.Reset(calmPeriod)
			continue
		}
		w.mu.Lock()
		inUser := w.look(now)
		period := calmPeriod
		if inUser || now < w.alert {
			period = watchPeriod
		}
		w.mu.Unlock()
		if !inUser && !w.sleep() {
			return
		}
		t.Reset(period)
	}
}

// look visits each loop, and reports whether any is, or may be, inside user code.
func (w *watcher) look(now int64) (inUser bool) {
	w.lookAt.Store(now + int64(watchPeriod))
	for i, l := range w.loops {
		if !l.mu.TryLock() {
			// Somebody is at work with the lock: the driver, or one of those who write
			// to a connection while it is inside user code.
			inUser = true
			continue
		}
		switch {
		case l.phase != phaseUser:
			w.seen[i] = 0
		case w.seen[i] == l.userSeq:
			l.steal()
			w.seen[i], w.alert = 0, now+int64(alertFor)
		default:
			w.seen[i], inUser = l.userSeq, true
		}
		l.mu.Unlock()
	}
	return inUser
}

// ran is how often user code was entered, and whether any loop is inside it.
func (w *watcher) ran() (n uint64, inUser bool) {
	for _, l := range w.loops {
		l.mu.Lock()
		n += l.userSeq
		inUser = inUser || l.phase == phaseUser
		l.mu.Unlock()
	}
	return n, inUser
}

// sleep parks until user code runs, if none does and none has since the last call.
// False: the watcher is to end.
func (w *watcher) sleep() bool {
	n, inUser := w.ran()
	if inUser || n != w.lastRan {
		w.lastRan = n
		return true
	}
	w.asleep.Store(true)
	// Some may have begun between the look and the store, and not seen it.
	if now, _ := w.ran(); now != n && w.asleep.CompareAndSwap(true, false) {
		return true
	}
	select {
	case <-w.up:
		return true
	case <-w.quit:
		return false
	}
}
