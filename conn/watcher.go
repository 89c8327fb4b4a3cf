//go:build linux && (amd64 || arm64)

package conn

import (
	"sync/atomic"
	"time"
)

// watchPeriod is how often the watcher looks. A driver that is found inside the
// same user code twice is one to two periods late.
const watchPeriod = time.Millisecond

// watcher notices drivers that handlers keep. It sleeps while every loop sleeps.
type watcher struct {
	asleep atomic.Bool
	up     chan struct{}
	loops  []*Loop
	seen   []uint64 // userSeq at the last look, 0: was not in user code
	quit   chan struct{}
}

func newWatcher(loops []*Loop) *watcher {
	return &watcher{loops: loops, seen: make([]uint64, len(loops)), up: make(chan struct{}, 1), quit: make(chan struct{})}
}

// wake is called by a driver that has found the watcher asleep.
func (w *watcher) wake() {
	if w.asleep.CompareAndSwap(true, false) {
		w.up <- struct{}{} // of capacity one, and only the winner of the swap sends
	}
}

func (w *watcher) watch() {
	t := time.NewTimer(watchPeriod)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-w.quit:
			return
		}
		if !w.look() && !w.sleep() {
			return
		}
		t.Reset(watchPeriod)
	}
}

// look visits each loop and reports whether any is awake.
func (w *watcher) look() (awake bool) {
	for i, l := range w.loops {
		if !l.mu.TryLock() {
			// Somebody is at work with the lock, such as a sendfile from a
			// slow disk: the other loops are not to wait for it.
			awake = true
			continue
		}
		if !l.inKernel {
			awake = true
		}
		switch {
		case !l.inUser:
			w.seen[i] = 0
		case w.seen[i] == l.userSeq && l.group.opt.steals:
			l.takeFrom()
			w.seen[i] = 0
		default:
			w.seen[i] = l.userSeq
		}
		l.mu.Unlock()
	}
	return awake
}

// sleep parks until a driver wakes up. False: the watcher is to end.
func (w *watcher) sleep() bool {
	w.asleep.Store(true)
	// A loop may have woken between the look and the store, and not seen it.
	if w.look() && w.asleep.CompareAndSwap(true, false) {
		return true
	}
	select {
	case <-w.up:
		return true
	case <-w.quit:
		return false
	}
}
