//go:build linux && (amd64 || arm64)

package conn

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/escahttp/esca/poller"
)

// Loop turns readiness into running code, one tick after the other:
//
//	wait and harvest ─► dispatch ─► posted ─► timers ─► wait and harvest …
//	                                                    │
//	     the entries that all of it has queued ─────────┘ leave in the same crossing
//
// mu protects everything in it and in its connections. The driver holds mu
// except while user code runs (run) and while it is in the kernel (wait).
type Loop struct {
	mu    sync.Mutex
	group *group
	index int

	ep *poller.Epoll
	sh *poller.Shared
	be poller.Backend

	// Who drives. A driver that finds gen changed has been left behind.
	gen      uint64
	inKernel bool    // the driver is in Tick: entries, Events and free slots are the backend's
	woken    bool    // the wait under way is being ended
	running  *worker // whose code the driver is inside of; nil also inside a hook
	inUser   bool    // the driver is inside user code
	userSeq  uint64  // counts entries into user code, for the watcher
	closing  bool
	done     chan struct{} // closed when the last driver has cleaned up

	// The tick under way; a driver that takes over goes on with it.
	next, ready int   // Events[next:ready] are still to be dispatched
	unyielded   int   // events since other goroutines were let run
	now         int64 // when the driver last came from the kernel

	table   table
	conns   []*Conn // by descriptor
	gens    uint32  // generation of the connection registered last
	open    int
	freed   []int32   // slots given back while inKernel
	frames  []*frame  // free
	discard []byte    // where what nobody wants is received
	dirty   []*Conn   // have bytes of their own to send
	due     []*Conn   // came back from a burst with input left
	runq    []*worker // woken, to be resumed
	posted  []func()
	timers  timers
	workers workers
	trimAt  int64 // when workers that were not needed are ended; 0: there are none
	policy  policy
	accepts accepts
	stats   loopStats

	handover handover
	load     atomic.Int32 // open, for other loops to compare
}

func newLoop(g *group) (*Loop, error) {
	ep, err := poller.OpenEpoll()
	if err != nil {
		return nil, err
	}
	sh, err := poller.NewShared(g.opt.linux.config)
	if err != nil {
		ep.Close()
		return nil, err
	}
	be, err := g.factory.Open(ep, sh)
	if err != nil {
		sh.Unmap()
		ep.Close()
		return nil, err
	}
	l := &Loop{group: g, ep: ep, sh: sh, be: be, done: make(chan struct{})}
	l.table.init(sh)
	l.policy.mode = g.opt.dispatch
	return l, nil
}

// drive turns the loop until it is closed or another driver has it. It starts
// wherever the tick stands.
func (l *Loop) drive(me uint64) {
	if l.group.opt.pinned {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	l.mu.Lock()
	for l.gen == me && l.tick(me) {
	}
	l.mu.Unlock()
}

// tick is one turn. False: the driver is to stop.
func (l *Loop) tick(me uint64) bool {
	for l.next < l.ready {
		ev := &l.sh.Events[l.next]
		l.next++
		l.dispatch(ev)
		if !l.resumeWoken(me) {
			return false
		}
		if l.next&7 == 0 { // reading the clock costs as much as a small handler
			l.flushIfLate()
		}
	}
	if !l.resumeWoken(me) || !l.serveDue(me) || !l.runPosted(me) || !l.fireTimers(me) || !l.acceptMore(me) {
		return false
	}
	if l.closing && l.cleanUp() {
		return false
	}
	l.wait()
	return true
}

// wait hands the table to the backend and sleeps until something is ready. The
// lock is released meanwhile: others may then send directly, and wake the loop
// for what they cannot do themselves.
//
// It sleeps in two steps. The first is short and not announced to Go's
// scheduler, which is what a busy loop needs; nothing else may need this
// processor then. Where goroutines do, it only looks, and lets them run.
func (l *Loop) wait() {
	l.queueDirty()
	if l.unyielded += 1 + l.ready; l.unyielded >= yieldEvery || l.workers.readied || l.workers.busy > 0 {
		// Goroutines that this loop has woken, or whose timers are due, are
		// to run on this thread's processor. They go first: what they write
		// leaves in the same crossing, and they would wait until the
		// scheduler misses them.
		l.letOthersRun()
		l.queueDirty()
	}
	timeout := l.timeout()
	if timeout == 0 {
		l.kernel(0)
		return
	}
	first := poller.ShortWait
	if l.workers.busy > 0 {
		first = 0
	}
	if timeout > 0 {
		first = min(first, timeout)
	}
	if l.kernel(first); l.ready > 0 || l.hasWork() {
		return
	}
	if l.workers.readied {
		l.letOthersRun()
	}
	if l.table.n == 0 && !l.hasWork() {
		l.kernel(l.timeout())
	}
}

// yieldEvery is after how many events, roughly, a loop that is never idle lets
// other goroutines and timers of the process run: some hundreds of microseconds.
const yieldEvery = 128

func (l *Loop) letOthersRun() {
	l.unyielded, l.workers.readied = 0, false
	l.mu.Unlock()
	runtime.Gosched()
	l.mu.Lock()
}

// kernel crosses: the table, then a wait of up to timeout.
func (l *Loop) kernel(timeout time.Duration) {
	n := l.table.n
	l.inKernel, l.woken = true, false
	l.mu.Unlock()
	m, err := l.be.Tick(n, timeout)
	l.mu.Lock()
	l.afterKernel(m, err)
}

// afterKernel takes back what the backend had and looks at the results.
func (l *Loop) afterKernel(m int, err error) {
	l.inKernel = false
	l.now = clockNow()
	if err != nil {
		// A descriptor closed under the loop, or a backend that gives up.
		// Aside: a logger may take its time, and the lock is held.
		go l.group.opt.logger.Printf("esca: %v", err)
	}
	for _, s := range l.freed {
		l.sh.FreeSlot(s)
	}
	l.freed = l.freed[:0]
	l.collect()
	l.next, l.ready = 0, m
	l.stats.observe(l, m)
}

// timeout is how long the wait may last.
func (l *Loop) timeout() time.Duration {
	if l.hasWork() {
		return 0
	}
	at := l.timers.first()
	if t := l.accepts.retryAt; t != 0 && (at == 0 || t < at) {
		at = t
	}
	if t := l.trimAt; t != 0 && (at == 0 || t < at) {
		at = t
	}
	if at == 0 {
		return -1
	}
	return max(time.Duration(at-clockNow()), 0)
}

func (l *Loop) hasWork() bool {
	return len(l.posted) > 0 || len(l.due) > 0 || len(l.runq) > 0 || len(l.dirty) > 0 || l.closing && l.open == 0 && l.workers.all == 0 || l.accepts.again || l.handover.waiting.Load()
}

// wake ends the wait under way, if there is one. Called with the lock.
func (l *Loop) wake() {
	if l.inKernel && !l.woken {
		l.woken = true
		l.ep.Wake()
	}
}

// post has fn run by the driver, with the lock held. Safe from any goroutine
// that does not hold the lock. False: the loop is gone.
func (l *Loop) post(fn func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		return false
	}
	l.posted = append(l.posted, fn)
	l.wake()
	return true
}

func (l *Loop) isClosed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

func (l *Loop) runPosted(me uint64) bool {
	for len(l.posted) > 0 {
		fn := l.posted[0]
		l.posted = l.posted[1:]
		fn()
		if l.gen != me {
			return false
		}
	}
	l.posted = nil
	return true
}

// serveDue starts bursts for connections that had input left when their last
// burst ended. Those that have some again have to let the others go first.
func (l *Loop) serveDue(me uint64) bool {
	for range len(l.due) {
		c := l.due[0]
		l.due = l.due[1:]
		c.isDue = false
		if c.unread() || c.poked || c.ended != NotEnded { // and not served since
			c.serve()
		}
		if !l.resumeWoken(me) {
			return false
		}
		l.flushIfLate()
	}
	if len(l.due) == 0 {
		l.due = nil
	}
	return true
}

// resumeWoken resumes every worker that was woken. False: the driver is to stop.
func (l *Loop) resumeWoken(me uint64) bool {
	for len(l.runq) > 0 && l.gen == me {
		w := l.runq[0]
		copy(l.runq, l.runq[1:])
		l.runq = l.runq[:len(l.runq)-1]
		l.run(w)
	}
	return l.gen == me
}

// outside runs f, which is or calls user code, without the lock, and reports
// whether the driver still has the loop after it. w is the worker whose code it
// is, nil for a hook.
func (l *Loop) outside(w *worker, f func()) bool {
	me := l.gen
	l.inUser, l.running = true, w
	l.userSeq++
	if l.group.watcher.asleep.Load() {
		l.group.watcher.wake()
	}
	l.mu.Unlock()
	returned := false
	defer func() {
		if !returned {
			go l.lostDriver(me, w) // aside: a panic may have come with the lock held
		}
	}()
	f()
	returned = true
	l.mu.Lock()
	if l.gen != me {
		return false
	}
	l.inUser, l.running = false, nil
	return true
}

// lostDriver runs as a driver's goroutine ends inside a handler: by
// runtime.Goexit, or by a panic that is about to end the process.
func (l *Loop) lostDriver(me uint64, w *worker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w != nil {
		l.workers.lost(w)
	}
	if l.gen == me {
		l.inUser, l.running = false, nil
		l.newDriver()
	}
}

// newDriver gives the loop to a new driver.
func (l *Loop) newDriver() {
	l.gen++
	go l.drive(l.gen)
}

// takeFrom takes the loop from a driver that is inside user code.
func (l *Loop) takeFrom() {
	if w := l.running; w != nil {
		w.detached = true
		l.policy.blocked(w.c)
		w.c.hold()
		w.c.copyOut()
	}
	l.inUser, l.running = false, nil
	l.stats.steals++
	l.newDriver()
}
