//go:build linux && (amd64 || arm64)

package conn

import (
	"sync"
	"sync/atomic"
)

// handover is where other loops leave connections that they have accepted for this
// one, and workers of it that waited for a connection of theirs. It has a lock of its
// own: a loop that waited for another's lock with its own held could wait for ever.
type handover struct {
	mu      sync.Mutex
	conns   []arrival
	woken   []*worker
	spare   []arrival   // empty, to be conns next
	waiting atomic.Bool // there are some
	parked  atomic.Bool // the driver is, or about to: it has to be woken
	closed  bool        // the loop picks up no connection any more
}

// arrival is an accepted connection on its way to its loop.
type arrival struct {
	fd   int32
	peer sockaddr
	ln   *Listener
}

// hand leaves a for l and wakes it. False: l has ended, or is about to.
func (l *loop) hand(a arrival) bool {
	h := &l.handover
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.conns = append(h.conns, a)
	h.told(l)
	return true
}

// told has l look. Its epoll is open: h is not closed, or a worker of it is busy.
func (h *handover) told(l *loop) {
	if !h.waiting.Swap(true) && h.parked.Load() {
		l.ep.Wake()
	}
}

// wakeFromOutside has l resume w. For who holds another loop's lock; l lives for as
// long as w waits.
func (l *loop) wakeFromOutside(w *worker) {
	h := &l.handover
	h.mu.Lock()
	defer h.mu.Unlock()
	h.woken = append(h.woken, w)
	h.told(l)
}

// pickUp makes connections of what other loops have left, and wakes the workers.
func (l *loop) pickUp() {
	h := &l.handover
	if !h.waiting.Load() {
		return
	}
	h.mu.Lock()
	conns := h.conns
	h.conns, h.spare = h.spare, nil
	for _, w := range h.woken {
		l.wakeWorker(w)
	}
	clear(h.woken)
	h.woken = h.woken[:0]
	h.waiting.Store(false)
	h.mu.Unlock()
	for _, a := range conns {
		l.welcome(a)
	}
	h.mu.Lock()
	h.spare = conns[:0]
	h.mu.Unlock()
}

// closeHandover reports whether nothing is left to pick up; nothing will be.
func (l *loop) closeHandover() bool {
	h := &l.handover
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = len(h.conns) == 0
	return h.closed
}
