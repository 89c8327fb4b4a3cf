//go:build linux && (amd64 || arm64)

package server

import (
	"slices"
	"time"
)

// A driver that is found inside the same handler twice, with watchEvery in between,
// loses its connection to another. Connections without news for watchQuiet looks are
// not looked at any more, until they have some; without connections to look at
// there is no watcher.
const (
	watchEvery = 2 * time.Millisecond
	watchQuiet = 25
)

// watch has c looked at.
func (h *h2) watch(c *h2conn) {
	if c.isSeen.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.isSeen.Swap(true) {
		return
	}
	c.quiet = 0
	h.watched = append(h.watched, c)
	if !h.watching {
		h.watching = true
		go h.look()
	}
}

// look is the watcher.
func (h *h2) look() {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for range t.C {
		h.mu.Lock()
		h.watched = slices.DeleteFunc(h.watched, (*h2conn).isQuiet)
		if len(h.watched) == 0 {
			h.watched, h.watching = nil, false
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
	}
}

// isQuiet replaces a driver that is kept, and reports whether c need not be looked at
// any more.
func (c *h2conn) isQuiet() bool {
	ln := c.driver.Load()
	seq := ln.seq.Load()
	switch {
	case seq != c.seen:
		c.seen, c.quiet = seq, 0
	case seq&1 != 0:
		c.mu.Lock()
		c.replace(ln, seq)
		c.mu.Unlock()
		c.seen = 0
	default:
		c.quiet++
	}
	if c.quiet < watchQuiet {
		return false
	}
	c.isSeen.Store(false)
	if ln.seq.Load() != seq { // it may have begun with a stream, and not seen that
		return c.isSeen.Swap(true)
	}
	c.settle()
	return true
}
