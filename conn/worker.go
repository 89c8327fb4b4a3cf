//go:build linux && (amd64 || arm64)

package conn

import (
	"fmt"
	"iter"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// workerKind is how a worker runs.
type workerKind uint8

const (
	inlineWorker  workerKind = iota // a coroutine that the driver resumes
	spawnedWorker                   // on a goroutine of its own
	directWorker                    // called by the driver; it cannot wait
	workerKinds
)

// worker runs Handler.Serve for one burst after the other.
type worker struct {
	l *loop
	c *Conn          // whose burst it is; nil: in the pool
	g atomic.Uintptr // which goroutine it is

	kind   workerKind
	waiter waiter

	// Inline, and the first two direct.
	resume     func() // runs it until it waits or its burst is over
	finished   bool   // its burst is over
	stop       func()
	yield      func(struct{}) bool
	suspended  bool // it waits, and may be resumed
	wokenEarly bool // it was woken before it was suspended
	leftBehind bool // its driver was left behind in it: its waits park
	used       int  // bytes it has read since it was resumed

	// On a goroutine.
	start  chan struct{} // a burst, or closed: the end
	waited int64         // ns of the burst that the worker waited for its connection
}

// workers is the pool of a loop: the one that finished last starts next, so
// that few, hot ones serve many connections.
type workers struct {
	idle      [workerKinds][]*worker
	retired   []*worker // inline ones that are to be ended: retire
	all       int       // idle, busy, and retired
	busy      int       // on goroutines, with a burst
	leastIdle int       // fewest idle since the last trim
	trimAt    int64     // when those that were not needed are ended; 0: there are none
	lockWord  uintptr
}

// get returns an idle worker, or a new one.
func (ws *workers) get(l *loop, kind workerKind) *worker {
	if kind == spawnedWorker {
		ws.busy++
	}
	pool := &ws.idle[kind]
	if n := len(*pool); n > 0 {
		w := (*pool)[n-1]
		(*pool)[n-1] = nil
		*pool = (*pool)[:n-1]
		ws.leastIdle = min(ws.leastIdle, n-1)
		return w
	}
	ws.leastIdle = 0
	ws.all++
	w := &worker{l: l, kind: kind}
	w.waiter.w = w
	switch kind {
	case spawnedWorker:
		w.start = make(chan struct{}, 1)
		go w.loop()
	case directWorker:
		w.resume = w.call
	default:
		next, stop := iter.Pull(w.body)
		w.resume, w.stop = func() { next() }, stop
	}
	return w
}

// put takes back a worker whose burst is over.
func (ws *workers) put(l *loop, w *worker) {
	if w.kind == spawnedWorker {
		ws.busy--
	}
	if l.closing {
		ws.end(w)
		l.wake() // it ends with its last worker
		return
	}
	ws.idle[w.kind] = append(ws.idle[w.kind], w)
}

// end ends an idle worker, or has retire end it.
func (ws *workers) end(w *worker) {
	if w.kind == inlineWorker {
		ws.retired = append(ws.retired, w)
		return
	}
	ws.all--
	if w.kind == spawnedWorker {
		close(w.start)
	}
}

// countIdle returns how many workers have no burst.
func (ws *workers) countIdle() (n int) {
	for _, pool := range ws.idle {
		n += len(pool)
	}
	return n
}

// trimPeriod is how often workers that were not needed are ended; of those that a
// crowd of connections has left, all but keptWorkers at once.
const (
	trimPeriod  = 10 * time.Second
	keptWorkers = 64
)

// retireAtOnce is how many are ended in a tick: some tens of microseconds' work.
const retireAtOnce = 64

// planTrim says when the workers that are not needed are to be ended.
func (ws *workers) planTrim(now int64) {
	switch idle := len(ws.idle[inlineWorker]) + len(ws.idle[spawnedWorker]); {
	case idle == 0:
		ws.trimAt = 0
	case ws.trimAt == 0:
		ws.trimAt = now + int64(trimPeriod)
	}
}

// retire ends workers: those that were not needed for a while, the last by halves until
// none is idle, and those of a loop that is closing. What a Handler has left to do in
// one that waits in Next is user code. False: the driver is to stop.
func (l *loop) retire(me uint64) bool {
	ws := &l.workers
	if ws.trimAt != 0 && ws.trimAt <= l.now {
		ws.trim()
		ws.trimAt = 0
		ws.planTrim(l.now)
	}
	if t := &l.tidy; t.at != 0 && t.at <= l.now {
		l.tidyUp()
	}
	for n := 0; len(ws.retired) > 0 && l.gen == me && n < retireAtOnce; n++ {
		w := ws.retired[0]
		ws.retired[0] = nil
		ws.retired = ws.retired[1:]
		l.outside(nil, w.stop)
		ws.all--
		l.wake() // the driver that has the loop now, if it was stolen meanwhile: it may end
	}
	if len(ws.retired) == 0 {
		ws.retired = nil
	}
	return l.gen == me
}

func (ws *workers) trim() {
	ws.drop(inlineWorker, surplus(min(ws.leastIdle, len(ws.idle[inlineWorker]))))
	ws.drop(spawnedWorker, surplus(len(ws.idle[spawnedWorker])))
	ws.leastIdle = len(ws.idle[inlineWorker])
}

// surplus is how many of n workers that were not needed are ended.
func surplus(n int) int { return max(n-keptWorkers, (n+1)/2) }

// drop ends the first n of a pool, which are the coldest.
func (ws *workers) drop(kind workerKind, n int) {
	pool := &ws.idle[kind]
	for _, w := range (*pool)[:n] {
		ws.end(w)
	}
	left := copy(*pool, (*pool)[n:])
	clear((*pool)[left:])
	*pool = (*pool)[:left]
}

// endAll ends every idle worker; busy ones end as they come back.
func (ws *workers) endAll() {
	for kind, pool := range ws.idle {
		ws.drop(workerKind(kind), len(pool))
	}
}

// lost is called when a handler has ended its worker's goroutine. Its connection
// cannot be served any further.
func (ws *workers) lost(w *worker) {
	ws.all--
	if w.kind == spawnedWorker {
		ws.busy--
	}
	if c := w.c; c != nil {
		c.worker = nil
		if c.end.state == endOpen {
			c.close()
		}
	}
}

func (l *loop) lostWorker(w *worker) {
	l.mu.Lock()
	l.workers.lost(w)
	l.wake() // it may have been the last that a closing loop waits for
	l.mu.Unlock()
}

// body is an inline worker.
func (w *worker) body(yield func(struct{}) bool) {
	w.g.Store(getg())
	callers.Store(getg(), w)
	defer callers.Delete(getg())
	w.yield = yield
	defer func() {
		// A panic comes out of the driver, where the handler's stack is gone.
		if v := recover(); v != nil {
			panic(&handlerPanic{v, debug.Stack()})
		}
	}()
	for {
		w.l.group.handler.Serve(BurstOf(w.c))
		w.l.unlockThread()
		w.finished = true
		if !yield(struct{}{}) {
			return
		}
	}
}

// call is a direct worker's burst.
func (w *worker) call() {
	w.g.Store(getg())
	w.l.group.handler.Serve(BurstOf(w.c))
	w.l.unlockThread()
	w.finished = true
}

// callers has every worker that is a goroutine of its own, coroutines among them, by
// that goroutine.
var callers sync.Map

// callingWorker returns the one that calls, of whatever loop, or nil.
func callingWorker() *worker {
	w, _ := callers.Load(getg())
	called, _ := w.(*worker)
	return called
}

// isCaller reports whether w is the calling goroutine.
func (w *worker) isCaller() bool { return w.g.Load() == getg() }

// unlockThread undoes a runtime.LockOSThread that a handler has left behind: a
// coroutine cannot be switched away from with it, and the goroutine goes on to
// serve other connections. A loop that is to be locked stays it.
func (l *loop) unlockThread() {
	for !l.group.opt.pinned && threadLocked(l.workers.lockWord) {
		runtime.UnlockOSThread()
	}
}

// loop is a worker on a goroutine.
func (w *worker) loop() {
	w.g.Store(getg())
	callers.Store(getg(), w)
	defer callers.Delete(getg())
	l := w.l
	returned := true
	defer func() {
		if !returned {
			go l.lostWorker(w) // on a goroutine of its own, as in outside
		}
	}()
	for range w.start {
		returned = false
		began := clockNow()
		w.waited = 0
		l.group.handler.Serve(BurstOf(w.c))
		l.unlockThread()
		returned = true
		l.mu.Lock()
		l.policy.took(w.c, clockNow()-began-w.waited)
		l.endBurst(w)
		l.mu.Unlock()
	}
}

// handlerPanic is what the process ends with when a handler has panicked.
type handlerPanic struct {
	value any
	stack []byte
}

func (p *handlerPanic) Error() string {
	return fmt.Sprintf("%v [in a handler]\n\n%s", p.value, p.stack)
}

// Unwrap returns the value of the panic, if it is an error.
func (p *handlerPanic) Unwrap() error {
	err, _ := p.value.(error)
	return err
}
