//go:build linux && (amd64 || arm64)

package server

import (
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// The rest of what was written to a stream is what the client does not take yet. What is small is kept, as a
// socket's buffer keeps it for HTTP/1, and goes when the client takes more; so who has written it goes on with the
// next request, and the driver need not be replaced. What is more waits with its handler (stream.Send).
//
//	Send ─► keepRest ─► sendRests, when the client takes more ─► sentAll
//	                └─► isLate, at the write deadline, or when it has taken nothing for too long

// h2Block is how large a rest may be, and the buffers that are shared by connections.
const h2Block = 64 << 10

var h2blocks = sync.Pool{New: func() any { return new([h2Block]byte) }}

type rest struct {
	on     bool           // there is one
	left   []byte         // of it
	last   bool           // nothing comes behind it
	block  *[h2Block]byte // that left is in; nil: it is so small that a block would be a waste
	stalls time.Time      // when the client has taken nothing of it for too long; zero: never
	timer  *time.Timer
}

// keepRest keeps p behind what is kept of st already, and reports whether there is room for it. last: it is the
// end of the answer. With mu.
func (c *h2conn) keepRest(st *stream, p []byte, last bool) bool {
	r := &st.rest
	if len(r.left)+len(p) > h2Block || c.kept+len(p) > h2OutMost {
		return false
	}
	if !r.on {
		r.on = true
		if len(p) > h2Block/4 {
			r.block = h2blocks.Get().(*[h2Block]byte)
			r.left = r.block[:0]
		}
		c.rests = append(c.rests, st)
		defer st.limitRest()
	}
	if r.block != nil && cap(r.left)-len(r.left) < len(p) {
		r.left = r.block[:copy(r.block[:], r.left)]
	}
	r.left = append(r.left, p...)
	r.last = last
	c.kept += len(p)
	return true
}

// limitRest sets when the client must have taken more, of which it has just taken some. With mu.
func (st *stream) limitRest() {
	if d := st.c.h.stall; d > 0 {
		st.rest.stalls = time.Now().Add(d)
	}
	st.timeRest()
}

// restEnds is when a rest is too late; zero: never. With mu.
func (st *stream) restEnds() time.Time { return earlier(st.writeAt, st.rest.stalls) }

// timeRest has isLate be called then. With mu.
func (st *stream) timeRest() {
	r := &st.rest
	switch ends := st.restEnds(); {
	case !ends.IsZero() && r.timer == nil:
		r.timer = time.AfterFunc(time.Until(ends), st.isLate)
	case !ends.IsZero():
		r.timer.Reset(time.Until(ends))
	case r.timer != nil:
		r.timer.Stop()
	}
}

// isLate ends a stream whose rest the client has not taken in time.
func (st *stream) isLate() {
	c := st.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if ends := st.restEnds(); st.rest.on && !ends.IsZero() && !time.Now().Before(ends) {
		c.resetStream(st.id, http2.ErrCodeCancel)
		c.endIfIdle()
		c.flushLocked()
	}
}

// sendRests sends what the client takes of rests, the oldest first. With mu.
func (c *h2conn) sendRests() {
	for i := 0; i < len(c.rests) && c.window > 0 && len(c.out) <= h2OutMost; {
		st := c.rests[i]
		r, had := &st.rest, len(st.rest.left)
		for len(r.left) > 0 {
			n := c.frameOf(st, len(r.left))
			if n == 0 {
				break
			}
			c.data(st, r.left[:n], r.last && n == len(r.left))
			r.left = r.left[n:]
		}
		switch sent := had - len(r.left); {
		case len(r.left) == 0:
			last := r.last
			c.kept -= sent
			c.endRest(st)
			if last {
				c.answeredLate(st)
			} else {
				st.cond.Broadcast()
			}
		case sent > 0:
			c.kept -= sent
			st.limitRest()
			i++
		default:
			i++
		}
	}
}

// answeredLate is called when all of a rest is in the connection's hands. With mu.
func (c *h2conn) answeredLate(st *stream) {
	st.sentAll()
	if st.over {
		c.resets = max(c.resets-1, 0)
		if !st.closed { // the client is still sending
			c.resetStream(st.id, http2.ErrCodeNo)
		}
		c.endIfIdle()
	}
}

// endRest lets go of what is left of a rest. With mu.
func (c *h2conn) endRest(st *stream) {
	r := &st.rest
	if !r.on {
		return
	}
	c.kept -= len(r.left)
	if r.block != nil {
		h2blocks.Put(r.block)
	}
	if r.timer != nil {
		r.timer.Stop()
	}
	*r = rest{}
	c.rests = slices.DeleteFunc(c.rests, func(other *stream) bool { return other == st })
}
