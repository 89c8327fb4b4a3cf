//go:build linux && (amd64 || arm64)

package conn

import "sync"

// waiter is one goroutine or coroutine that waits for a connection.
type waiter struct {
	next *waiter
	w    *worker       // the coroutine to resume, or nil:
	wake chan struct{} // of capacity one
}

var waiters = sync.Pool{New: func() any { return &waiter{wake: make(chan struct{}, 1)} }}

// waitq is who waits for the same thing.
type waitq struct{ head *waiter }

func (q *waitq) empty() bool { return q.head == nil }

func (q *waitq) push(w *waiter) { w.next, q.head = q.head, w }

// wakeAll wakes everyone; each looks again whether it has what it waited for.
func (q *waitq) wakeAll(l *loop) {
	for w := q.head; w != nil; {
		next := w.next
		w.next = nil
		switch {
		case w.w == nil:
			l.others.readied = true
			w.wake <- struct{}{}
		case w.w.l == l:
			l.wakeWorker(w.w)
		default:
			w.w.l.wakeFromOutside(w.w)
		}
		w = next
	}
	q.head = nil
}

// wakeWorker has the driver resume w.
func (l *loop) wakeWorker(w *worker) {
	if !w.suspended {
		// It is on its way to the loop, and can only be resumed once there.
		w.wokenEarly = true
		return
	}
	w.suspended = false
	l.runq = append(l.runq, w)
	l.wake()
}

// caller returns the worker that calls, c's as a rule, or nil.
func (c *Conn) caller() *worker {
	for _, w := range [...]*worker{c.worker, c.l.running} {
		if w != nil && w.isCaller() {
			return w
		}
	}
	return callingWorker()
}

// await waits in q, without the lock, until someone wakes it. A worker that is a
// coroutine yields to its loop, be it c's or another: who waits for an upstream keeps
// no loop. Any other goroutine parks. Callers look again at what they wait for.
func (c *Conn) await(q *waitq) {
	l := c.l
	w := c.caller()
	c.watch()
	if q == &c.writers {
		c.out.waiting++
		defer func() { c.out.waiting-- }()
		if c.out.entry >= 0 {
			c.dirty() // the driver may be parked by then, with the result still to be looked at
		}
	}
	if w != nil && w.isCoroutine() && (w.l != l || !w.leftBehind) {
		q.push(&w.waiter)
		c.arm()
		l.mu.Unlock()
		w.yield(struct{}{})
		l.mu.Lock()
		return
	}
	p := waiters.Get().(*waiter)
	q.push(p)
	c.arm()
	l.mu.Unlock()
	if w != nil && w.kind == spawnedWorker {
		began := clockNow()
		<-p.wake
		w.waited += clockNow() - began
	} else {
		<-p.wake
	}
	waiters.Put(p)
	l.mu.Lock()
}
