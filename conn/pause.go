//go:build linux && (amd64 || arm64)

package conn

import "math"

// Pause has the connection take in nothing more: what its peer sends stays in the
// socket, until that is full and the peer is stopped. What had been received already
// is kept, a slot at the most, for after Resume; so is news of the end of the stream.
// What is written is sent, and the connection is still served if it is poked, ended, or
// a write has failed. It reports false if the connection is closed. Any goroutine.
func (b *Burst) Pause() bool {
	c := b.Conn()
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.pause()
	return c.end.state == endOpen
}

func (c *Conn) pause() {
	if c.end.state == endOpen && !c.burst.paused {
		c.burst.paused = true
		c.hold()
		c.copyOut() // slots are for those that are served
	}
}

// Resume undoes Pause, and pokes the connection. It reports false if that is closed. Any
// goroutine.
func (b *Burst) Resume() bool {
	c := b.Conn()
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.resume()
	return c.end.state == endOpen
}

func (c *Conn) resume() {
	if c.end.state == endOpen && c.burst.paused {
		c.burst.paused, c.burst.news = false, true
		if c.worker == nil {
			c.settle()
		}
		c.serveLater()
	}
}

// Paused reports whether the connection is. Any goroutine.
func (b *Burst) Paused() bool {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	return b.burst.paused
}

// PokeWhenQueued pokes the connection, once, as soon as no more than n bytes written to
// it are queued; a negative n takes that back. Any goroutine.
func (b *Burst) PokeWhenQueued(n int) {
	c := b.Conn()
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	switch {
	case n < 0:
		c.burst.pokeAt = 0
	case c.pending() <= n:
		c.burst.pokeAt = 0
		c.serveLater()
	default:
		c.burst.pokeAt = int32(min(n, math.MaxInt32-1)) + 1
	}
}
