//go:build linux && (amd64 || arm64)

package conn

import (
	"net"
	"sync"
	"sync/atomic"
)

// acceptAhead is how many connections of a Listener are accepted before the program
// asks for them. The others wait in the kernel's queue, as they do with package
// net: a program that limits itself by not calling Accept must not find a thousand
// connections open, each with what it has sent in memory.
const acceptAhead = 8

// acceptQueue is what the loops have accepted, and Accept has not fetched. It has a
// lock of its own, which is taken with a loop's held, never the other way round.
type acceptQueue struct {
	mu     sync.Mutex
	conns  []*Conn
	refuse bool          // there is nobody to fetch any more
	more   chan struct{} // of capacity one: there are some
	held   atomic.Int32  // accepted or about to be, not fetched
	full   atomic.Bool   // some loop has stopped accepting because of that
}

func (q *acceptQueue) init() { q.more = make(chan struct{}, 1) }

// reserve asks for a place for a connection that is about to be accepted.
func (ln *Listener) reserve() bool {
	if ln.queue.held.Add(1) <= acceptAhead {
		return true
	}
	ln.queue.held.Add(-1)
	return false
}

// mayGoOn reports, to one who asks, that loops which have stopped accepting are to go
// on. It is asked after each fetch, and by a loop that has just stopped.
func (q *acceptQueue) mayGoOn() bool {
	return q.full.Load() && q.held.Load() <= acceptAhead/2 && q.full.Swap(false)
}

// unreserve gives the place back; of a Listener with a Handler, there is none.
func (ln *Listener) unreserve() {
	if ln.handler == nil {
		ln.queue.held.Add(-1)
	}
}

// Accept waits for the next connection.
func (ln *Listener) Accept() (net.Conn, error) {
	if err := ln.listen(nil); err != nil {
		return nil, err
	}
	for {
		if c := ln.queue.fetch(); c != nil {
			if ln.queue.held.Add(-1); ln.queue.mayGoOn() {
				ln.goOn()
			}
			return c, nil
		}
		select {
		case <-ln.queue.more:
		case <-ln.closed:
			return nil, ln.closedError("accept")
		}
	}
}

// goOn has loops that have stopped accepting, since nobody fetched, go on.
func (ln *Listener) goOn() {
	for _, l := range ln.group.loops {
		l.mu.Lock()
		if a := &l.accepts; a.full {
			a.full, a.again = false, true
			l.wake()
		}
		l.mu.Unlock()
	}
}

func (q *acceptQueue) fetch() *Conn {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.conns) == 0 {
		return nil
	}
	c := q.conns[0]
	q.conns[0] = nil
	if q.conns = q.conns[1:]; len(q.conns) > 0 {
		q.signal()
	}
	return c
}

func (q *acceptQueue) signal() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// deliver gives c to Accept. Called by the loop.
func (ln *Listener) deliver(c *Conn) {
	q := &ln.queue
	q.mu.Lock()
	refuse := q.refuse
	if !refuse {
		q.conns = append(q.conns, c)
		q.signal()
	}
	q.mu.Unlock()
	if refuse {
		c.reset()
		return
	}
	c.l.others.readied = true
}

// shut has nothing more delivered, and returns what nobody will fetch.
func (q *acceptQueue) shut() []*Conn {
	q.mu.Lock()
	defer q.mu.Unlock()
	conns := q.conns
	q.conns, q.refuse = nil, true
	return conns
}
