//go:build linux && (amd64 || arm64)

package conn

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// The machines of a connection, from every state that they can get into, with
// everything that can happen and every result that the kernel can give: a loop
// without a driver, whose kernel is this test. From each state that is found the
// kernel is then made willing, and what was written has to be sent, in order, and a
// closed connection to be gone.

// world is a loop, a connection and its kernel.
type world struct {
	l *loop
	c *Conn

	fate   fate   // of the calls to come
	wrote  []byte // accepted by the connection
	sent   []byte // taken by the kernel
	writes int
	most   int  // of them
	calls  int  // that the kernel has been asked to make
	shut   bool // our stream has ended
	added  bool // the descriptor is in the epoll
	closed bool // the descriptor is closed
	errors []string
	full   bool // the socket is, and has not been reported to be writable since
	reset  bool // some call has said so
}

// fate is what the kernel does with transfers.
type fate int

const (
	takesAll fate = iota
	takesSome
	isFull
	isInterrupted
	hasNoBuffers
	isReset
	fates
)

func (f fate) String() string {
	return [...]string{"all", "some", "EAGAIN", "EINTR", "ENOBUFS", "ECONNRESET"}[f]
}

func (w *world) errorf(format string, args ...any) {
	w.errors = append(w.errors, fmt.Sprintf(format, args...))
}

// worldBackend is the kernel.
type worldBackend struct{ *world }

func (b worldBackend) Run(n int)               { poller.Chain(b.l.sh.Entries[:n], b.Call) }
func (b worldBackend) Tick(n int) (int, error) { b.Run(n); return 0, nil }
func (b worldBackend) Counts() *poller.Counts  { return &poller.Counts{} }
func (b worldBackend) Close() error            { return nil }
func (b worldBackend) transfer(want uint64) int64 {
	switch b.fate {
	case takesSome:
		b.full = true
		return int64(want / 2)
	case isFull:
		b.full = true
		return -int64(unix.EAGAIN)
	case isInterrupted:
		return -int64(unix.EINTR)
	case hasNoBuffers:
		return -int64(unix.ENOBUFS)
	case isReset:
		b.reset = true
		return -int64(unix.ECONNRESET)
	}
	return int64(want)
}

func (b worldBackend) Call(e *poller.Entry) {
	w := b.world
	w.calls++
	if e.NR == poller.Nop {
		e.Ret = 0
		return
	}
	if w.closed {
		w.errorf("call %d on a descriptor that is closed", e.NR)
	}
	e.Ret = 0
	switch e.NR {
	case unix.SYS_SENDTO:
		if w.shut {
			w.errorf("a send after the end of our stream")
		}
		if w.full {
			w.errorf("a send to a socket that is known to be full")
		}
		if e.Ret = b.transfer(e.Args[2]); e.Ret > 0 {
			p := *(*unsafe.Pointer)(unsafe.Pointer(&e.Args[1])) // an address of the arena or the heap
			w.sent = append(w.sent, unsafe.Slice((*byte)(p), e.Ret)...)
		}
	case unix.SYS_RECVFROM:
		if e.Ret = -int64(unix.EAGAIN); w.c.end.state < endDiscarding {
			e.Ret = w.greeting()
		}
	case unix.SYS_EPOLL_CTL:
		if add := e.Args[1] == unix.EPOLL_CTL_ADD; add == w.added {
			w.errorf("operation %d of a descriptor, in the epoll: %v", e.Args[1], w.added)
		}
		w.added = true
	case unix.SYS_SHUTDOWN:
		if w.reset {
			e.Ret = -int64(unix.ENOTCONN)
			return
		}
		w.shut = true
	case unix.SYS_CLOSE:
		w.closed = true
	}
}

// greeting is what the first receive gets.
func (w *world) greeting() int64 {
	switch w.fate {
	case takesAll:
		return 10
	case takesSome: // as much as there is room for
		return int64(w.l.sh.SlotSize)
	case isFull:
		return -int64(unix.EAGAIN)
	case isInterrupted:
		return -int64(unix.EINTR)
	case isReset:
		w.reset = true
		return -int64(unix.ECONNRESET)
	}
	return 0
}

// burst is what a Handler does that reads what there is.
func (w *world) burst() bool {
	if w.l.away() || len(w.l.toServe) == 0 {
		return false
	}
	w.l.toServe, w.c.burst.queued = nil, false
	if !w.c.burst.paused {
		w.c.dropInput()
		w.c.in.more = false
	}
	w.c.settle()
	w.c.watch()
	return true
}

// state is what tells states apart, as far as they differ in what can come of them.
type state struct {
	phase                                         phase
	in                                            inState
	out                                           outState
	end                                           endState
	fin                                           finState
	more, hup, locked, armed, told, late          bool
	abort, limited, timed, dirty, watched, paused bool
	added, shut, closed, allSent                  bool
	backlog, pending, toServe, writes             int
	table                                         [8]struct{ nr, flags uint32 }
}

func (w *world) state() state {
	in, o, e := &w.c.in, &w.c.out, &w.c.end
	s := state{
		phase: w.l.phase, in: in.state, out: o.state, end: e.state, fin: o.fin,
		more: in.more, hup: in.hup, locked: o.locked, armed: o.armed, told: o.told, late: w.c.wdl != 0,
		abort: e.abort, limited: e.limit != 0, timed: w.c.timer.i != 0, dirty: w.c.isDirty, watched: w.c.watched, paused: w.c.burst.paused,
		added: w.added, shut: w.shut, closed: w.closed, allSent: len(w.sent) == len(w.wrote),
		backlog: len(o.backlog), pending: w.c.pending(), toServe: len(w.l.toServe), writes: w.writes,
	}
	for i := range w.l.table.n {
		s.table[i].nr, s.table[i].flags = w.l.sh.Entries[i].NR, w.l.sh.Entries[i].Flags
	}
	return s
}

// check is what holds in every state.
func (w *world) check() {
	o, e := &w.c.out, &w.c.end
	is := func(so bool, what string, args ...any) {
		if !so {
			w.errorf(what, args...)
		}
	}
	is(bytes.HasPrefix(w.wrote, w.sent), "what was sent is not what was written, in order")
	switch o.state {
	case outEmpty:
		is(o.entry < 0 && len(o.backlog) == 0, "empty, and has bytes")
	case outQueued, outSending:
		is(o.entry >= 0 && w.l.table.owners[o.entry] == w.c, "has no send in the table")
	case outBacklog:
		is(w.c.isDirty && len(o.backlog) > 0, "a backlog that is forgotten")
	case outBlocked:
		is(w.c.isDirty, "a full socket that nobody will ask for")
	case outAsked:
		is(o.armed, "a full socket that will not be reported")
	case outFailed:
		is(len(o.backlog) == 0 && o.err != nil, "failed, and has bytes or no error")
	}
	if o.state != outFailed && !w.closed {
		is(len(w.sent)+w.c.pending() == len(w.wrote) || w.l.phase == phaseCrossing, "of %d bytes %d are sent and %d to be", len(w.wrote), len(w.sent), w.c.pending())
	}
	if w.c.burst.paused && e.state == endOpen {
		is(w.c.in.state >= inHeld && w.c.in.slot < 0, "paused, and takes input in, or a slot")
	}
	if e.state == endFlushing || e.state == endDiscarding {
		is(e.limit != 0 && w.c.timer.i != 0, "ends without a limit")
	}
	if e.state == endFlushing {
		is(w.c.isDirty || o.entry >= 0 || o.state == outAsked || o.locked, "a close that is forgotten")
	}
	is((e.state == endGone) == w.closed || w.l.phase == phaseCrossing, "gone and not closed, or the other way round")
}

// settle makes the kernel willing, and sees where that leads.
func (w *world) settle() {
	w.fate = takesAll
	w.c.resume()
	if w.c.out.locked {
		w.c.unlockOutput()
	}
	// Until nothing has come of two rounds: then nothing would of a third.
	for quiet, n := 0, 0; quiet < 2 && n < 30; n++ {
		before, calls := w.state(), w.calls
		if w.l.phase == phaseCrossing {
			w.backend().Run(w.l.table.n)
			w.l.phase = phaseAwake
			w.l.afterTick(0, nil)
		}
		w.burst()
		w.event(unix.EPOLLOUT, 0)
		if w.c.end.state == endDiscarding {
			w.event(unix.EPOLLIN|unix.EPOLLRDHUP, 1)
		}
		w.l.queueDirty()
		w.l.flush()
		w.check()
		if quiet++; w.calls != calls || w.state() != before {
			quiet = 0
		}
	}
	o, e := &w.c.out, &w.c.end
	switch {
	case o.state == outFailed:
	case string(w.sent) != string(w.wrote):
		w.errorf("in the end %q was sent of %q", w.sent, w.wrote)
	case o.state != outEmpty || o.fin == finWanted || o.armed && e.state == endOpen:
		w.errorf("in the end: output %+v", *o)
	}
	if o.state == outFailed && !w.reset && e.limit == 0 && !e.abort && !o.told && w.c.wdl == 0 {
		w.errorf("the output has failed for no reason: %v", o.err)
	}
	if e.state != endOpen && e.state != endGone {
		w.errorf("in the end: %+v", *e)
	}
	if e.state == endOpen && !w.added && (w.c.in.state == inReceiving || w.c.watched || w.writes > 0 && len(w.sent) < len(w.wrote)) {
		w.errorf("in the end nobody watches it: input %+v", w.c.in)
	}
	if n := w.l.sh.FreeSlots(); n != slots {
		w.errorf("%d of %d slots are free", n, slots)
	}
}

const slots = 4 // of a world

func newWorld(t *testing.T) *world {
	t.Helper()
	ep, err := poller.OpenEpoll()
	if err != nil {
		t.Fatal(err)
	}
	sh, err := poller.NewShared(poller.Config{Entries: 8, Events: 4, Slots: slots, SlotSize: 4096, Arena: 64 << 10, MaxFD: 64})
	if err != nil {
		t.Fatal(err)
	}
	g := &group{opt: buildOptions([]Option{WithLogger(log.New(io.Discard, "", 0))})}
	g.watcher = newWatcher(nil)
	l := &loop{group: g, ep: ep, sh: sh, done: make(chan struct{})}
	l.accepts.fd = -1
	l.alarm.init(l)
	l.table.init(sh)
	w := &world{l: l}
	l.be = w.backend()
	t.Cleanup(func() { ep.Close(); sh.Unmap() })
	return w
}

// begin starts over, with a new connection: registered, or fresh.
func (w *world) begin(fresh bool, mostWrites int) {
	l := w.l
	if w.c != nil { // where it was left
		for i := range l.table.n {
			if e := &l.table.entries[i]; e.NR == unix.SYS_RECVFROM {
				l.sh.FreeSlot(l.sh.SlotAt(e.Args[1]))
			}
		}
		l.phase = phaseAwake
		w.c.dropInput()
		for _, s := range l.freed {
			l.sh.FreeSlot(s)
		}
	}
	*w = world{l: l, most: mostWrites}
	l.freed, l.toServe = nil, nil
	l.be = w.backend()
	l.conns, l.dirty, l.timers, l.phase, l.table.n, l.table.used = nil, nil, timers{}, phaseAwake, 0, 0
	l.now = clockNow()
	w.c = l.register(33, sockaddr{}, &origin{network: "tcp"}, fresh)
	w.c.end.prompt = true
	l.flush()
}

func TestMachines(t *testing.T) {
	t.Run("registered", func(t *testing.T) { walk(t, false, 3, 10000) })
	t.Run("fresh", func(t *testing.T) { walk(t, true, 1, 1000) })
}

// walk goes to every state that can be reached: at least so many.
func walk(t *testing.T, fresh bool, mostWrites, least int) {
	evs := events()
	w := newWorld(t)
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	type path []int
	names := func(p path) (s string) {
		for _, i := range p {
			s += evs[i].name + ", "
		}
		return s
	}
	type pair struct {
		state outState
		event int
	}
	known := map[state]bool{}
	todo := []path{{}}
	met := map[pair]bool{}
	for tried := 0; len(todo) > 0; tried++ {
		p := todo[0]
		todo = todo[1:]
		there := false
		for i := range evs {
			if !there {
				w.begin(fresh, mostWrites)
				for _, j := range p {
					evs[j].do(w)
				}
			}
			from, fate := w.c.out.state, w.fate
			if there = !evs[i].do(w); there { // what cannot happen changes nothing
				w.fate = fate
				continue
			}
			met[pair{from, i}] = true
			w.check()
			q := append(append(path{}, p...), i)
			key := w.state()
			isNew := !known[key]
			if len(w.errors) == 0 && isNew {
				w.settle()
			}
			if len(w.errors) > 0 {
				t.Fatalf("after %s%s", names(q), strings.Join(w.errors, "; "))
			}
			if isNew {
				known[key] = true
				todo = append(todo, q)
			}
		}
	}
	t.Logf("%d states, %d pairs of output state and event", len(known), len(met))
	if len(known) < least || len(met) < 60 {
		t.Errorf("only %d states and %d pairs of state and event were met: the walk does not get anywhere", len(known), len(met))
	}
}
