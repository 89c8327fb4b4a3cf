//go:build linux && (amd64 || arm64)

package conn

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/escahttp/esca/poller"
)

// loop turns readiness into running code, one tick after the other:
//
//	look and harvest ─► dispatch ─► served again ─► posted ─► timers ─► accept ─► look …
//	    │        ▲                                                        │
//	    └─ park ─┘   the entries that all of it has queued leave with ────┘ the next look
//
// mu protects everything in it and in its connections. Where the driver is, phase
// says.
type loop struct {
	mu    sync.Mutex
	group *group
	index int

	ep     *poller.Epoll
	sh     *poller.Shared
	be     poller.Backend
	lookFn func() bool // look, bound once

	// Who drives. A driver that finds gen changed has been left behind.
	gen     uint64
	driver  uintptr // which goroutine it is
	phase   phase
	woken   bool    // a park is being ended
	running *worker // in phaseUser: whose code it is; nil: a hook's
	userSeq uint64  // counts entries into user code, for the watcher
	closing bool
	served  chan struct{} // closed when the loop is closing and has dialled connections at the most
	done    chan struct{} // closed when the last driver has cleaned up

	// The tick under way; a driver that takes over goes on with it.
	next, ready int   // Events[next:ready] are still to be dispatched
	looks       int   // of the look under way
	now         int64 // when the driver last came from the kernel

	table   table
	conns   []*Conn // by descriptor
	gens    uint32  // generation of the connection registered last
	open    int
	guests  int      // of them dialled
	freed   []int32  // slots given back while the driver was away
	frames  []*frame // spare
	discard []byte   // where what nobody wants is received
	dirty   []*Conn  // have something for the table
	late    []*Conn  // see input.late
	toServe []*Conn  // were left with input, or poked: a burst each, next turn
	runq    []*worker
	later   []*worker // have had their turn: woken after the next look
	posted  []func()
	timers  timers
	alarm   alarm
	workers workers
	others  others
	policy  policy
	accepts accepts
	packets *packetLoop // nil: it has no datagrams
	stats   loopStats
	tidy    tidy
	osyield osyield

	handover handover
	load     atomic.Int32 // connections here, or on their way here
	values   map[any]any  // by *PerLoop
}

// phase is where the driver is.
//
//	awake ◄──► user       awake ──► crossing ──► awake
//	                                   │  ▲
//	                                   ▼  │ (readable)
//	                                  parked
type phase uint8

const (
	phaseAwake    phase = iota // it holds mu, or is about to: the table grows
	phaseUser                  // inside user code, without mu: the table grows
	phaseCrossing              // in the kernel, without mu: table, Events and free slots are the backend's
	phaseParked                // in Go's netpoller, or looking again, with an empty table
)

// away reports whether the table cannot be used, nor the stack of free slots.
func (l *loop) away() bool { return l.phase >= phaseCrossing }

func newLoop(g *group) (*loop, error) {
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
	l := &loop{group: g, ep: ep, sh: sh, be: inOrder(be), served: make(chan struct{}), done: make(chan struct{})}
	l.lookFn = l.look
	l.accepts.fd = -1
	l.alarm.init(l)
	l.table.init(sh)
	l.policy.mode = g.opt.dispatch
	return l, nil
}

// drive turns the loop until it is closed or another driver has it. It starts
// wherever the tick stands.
func (l *loop) drive(me uint64) {
	if l.group.opt.pinned {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	l.mu.Lock()
	if l.gen == me {
		l.driver = getg()
	}
	for l.gen == me && l.tick(me) {
	}
	l.mu.Unlock()
}

// tick is one turn. False: the driver is to stop.
func (l *loop) tick(me uint64) bool {
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
	l.pickUp()
	l.inTime()
	if !l.resumeWoken(me) || !l.serveAgain(me) || !l.runPosted(me) || !l.fireTimers(me) || !l.acceptMore(me) || !l.receiveMore(me) || !l.retire(me) {
		return false
	}
	if l.closing && l.cleanUp() {
		return false
	}
	l.queueDirty()
	l.wait()
	return true
}

// wait hands the table to the backend, and returns when there is something to
// do: at once, if the look that goes with it finds something.
func (l *loop) wait() {
	if l.others.readied {
		// They go first: what they write leaves in the same crossing.
		l.others.readied = false
		l.mu.Unlock()
		runtime.Gosched()
		l.mu.Lock()
		l.queueDirty()
	}
	l.packets.plan()
	l.phase, l.looks = phaseCrossing, 0
	l.mu.Unlock()
	if err := l.ep.Park(l.lookFn); err != nil {
		l.mu.Lock()
		l.phase = phaseAwake
		l.logf("%v", err)
		l.mu.Unlock()
		runtime.Gosched() // the loop goes on, if at the cost of a processor
		l.mu.Lock()
	}
}

// look is what Park calls: it runs the table and looks for events. True: there
// is something to do, and the lock is held. False: the driver is parked.
func (l *loop) look() bool {
	if l.looks++; l.looks > 1 && l.others.owed {
		// They have run, while the events of the first look waited.
		l.mu.Lock()
		l.others.owed = false
		l.phase, l.now = phaseAwake, clockNow()
		l.handover.parked.Store(false)
		return true
	}
	m, err := l.cross()
	l.mu.Lock()
	if l.phase == phaseParked {
		l.handover.parked.Store(false)
	}
	l.phase = phaseAwake
	l.afterTick(m, err)
	at := l.nextTimer()
	parks := m == 0 && (at == 0 || at > l.now) && l.mayPark()
	yielded, yield := l.countYield(), false
	l.others.are(m + l.osyield.looked(m, !parks))
	switch { // what has made the epoll readable during a yield ends a park at once: that was no turn
	case parks:
		if yield = !yielded && l.mayYield(); !yield && !yielded {
			l.others.since = 0
		}
		l.alarm.set(at)
		l.stats.observe(l)
	case l.looks == 1 && !yielded && l.others.turn():
		l.handover.parked.Store(true)
		l.ep.Wake()
	default:
		return true
	}
	l.phase, l.woken = phaseParked, false
	l.mu.Unlock()
	return yield && l.lookAfterYield()
}

// cross runs the table and asks for events, without the lock.
func (l *loop) cross() (int, error) {
	if pl := l.packets; pl != nil && pl.eager(l.looks) {
		return pl.receiveFirst()
	}
	if l.looks == 1 && l.packets == nil && l.osyield.dueBusy() {
		return l.crossAfterYield()
	}
	return l.be.Tick(l.table.n)
}

// afterTick takes back what the backend had and looks at the results.
func (l *loop) afterTick(m int, err error) {
	l.now = clockNow()
	if err != nil {
		l.logf("%v", err) // a descriptor closed under the loop, or a backend that gives up
	}
	for _, s := range l.freed {
		l.sh.FreeSlot(s)
	}
	l.freed = l.freed[:0]
	l.packets.looked(m)
	l.collect()
	for _, w := range l.later {
		l.wakeWorker(w)
	}
	l.later = l.later[:0]
	l.next, l.ready = 0, m
	l.stats.count(l, m)
	l.group.watcher.comeBy(l.now)
}

// logf logs on a goroutine of its own: a logger may take its time, and the lock
// is held.
func (l *loop) logf(format string, args ...any) {
	go l.group.opt.logger.Printf("esca: "+format, args...)
}

// nextTimer is when the first thing is due that has a time; 0: nothing has.
func (l *loop) nextTimer() int64 {
	at := l.timers.first()
	for _, t := range [...]int64{l.accepts.retryAt, l.workers.trimAt, l.tidy.at} {
		if t != 0 && (at == 0 || t < at) {
			at = t
		}
	}
	return at
}

// mayPark reports whether the driver may. Whoever hands something over from now on
// wakes it, as what he did before is seen here.
func (l *loop) mayPark() bool {
	l.handover.parked.Store(true)
	may := !l.hasWork()
	if !may {
		l.handover.parked.Store(false)
	}
	return may
}

// hasWork reports whether the driver must not park.
func (l *loop) hasWork() bool {
	return len(l.posted) > 0 || len(l.late) > 0 || len(l.toServe) > 0 || len(l.runq) > 0 || len(l.later) > 0 || len(l.dirty) > 0 || l.table.n > 0 || len(l.workers.retired) > 0 ||
		l.closing && l.mayEnd() || l.accepts.again && l.accepts.retryAt == 0 || l.packets.hasWork() || l.handover.waiting.Load()
}

// wake ends the park under way, if there is one. Called with the lock.
func (l *loop) wake() {
	if l.phase == phaseParked && !l.woken {
		l.woken = true
		l.ep.Wake()
	}
}

// post has fn run by the driver, with the lock held. Safe from any goroutine
// that does not hold the lock. False: the loop is gone.
func (l *loop) post(fn func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		return false
	}
	l.posted = append(l.posted, fn)
	l.wake()
	return true
}

// mayEnd reports whether cleanUp would get further than it has.
func (l *loop) mayEnd() bool {
	return l.workers.all == 0 && (l.open == 0 || l.open == l.guests && !l.isServed())
}

func (l *loop) isServed() bool { return isDone(l.served) }
func (l *loop) isClosed() bool { return isDone(l.done) }

func isDone(ch chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func (l *loop) runPosted(me uint64) bool {
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

// resumeWoken resumes every worker that was woken. False: the driver is to stop.
func (l *loop) resumeWoken(me uint64) bool {
	for len(l.runq) > 0 && l.gen == me {
		w := l.runq[0]
		copy(l.runq, l.runq[1:])
		l.runq = l.runq[:len(l.runq)-1]
		l.run(w)
	}
	return l.gen == me
}
