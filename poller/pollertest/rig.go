//go:build linux

package pollertest

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// patience bounds every wait for something that must happen. It is never
// reached by a backend that works, and nothing is measured against it.
const patience = 20 * time.Second

// unwritten is the Ret of an entry that no executor has touched.
const unwritten = 0x7ee7

// executor is one of the ways in which a backend runs a table.
type executor func(r *rig, n int)

func execRun(r *rig, n int) { r.b.Run(n) }

func execTick(r *rig, n int) {
	r.Helper()
	if m := r.tick(n); m != 0 {
		r.Fatalf("Tick reports %d events, and nothing is registered", m)
	}
}

// execRunThenTick looks after others have run, and then at what the table has brought.
func execRunThenTick(r *rig, n int) {
	r.Helper()
	r.b.Run(n)
	execTick(r, 0)
}

// rig is a loop without a loop: the test plays the driver.
type rig struct {
	*testing.T
	factory poller.Factory
	ep      *poller.Epoll
	sh      *poller.Shared
	b       poller.Backend
	exec    executor

	n    int // entries recorded
	used int // bytes of the arena in use
	open map[int32]bool
}

func newRig(t *testing.T, f poller.Factory, c poller.Config, exec executor) *rig {
	t.Helper()
	ep, err := poller.OpenEpoll()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close() })
	sh, err := poller.NewShared(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sh.Unmap() })
	b, err := f.Open(ep, sh)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, factory: f, ep: ep, sh: sh, b: b, exec: exec, open: make(map[int32]bool)}
	t.Cleanup(func() {
		for fd := range r.open {
			unix.Close(int(fd))
		}
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

// alloc takes n bytes of the arena, aligned for anything.
func (r *rig) alloc(n int) []byte {
	off := (r.used + 15) &^ 15
	r.used = off + n
	return r.sh.Arena[off:r.used:r.used]
}

// place puts v into the arena, where entries may point to it.
func place[T any](r *rig, v T) *T {
	p := (*T)(unsafe.Pointer(&r.alloc(int(unsafe.Sizeof(v)))[0]))
	*p = v
	return p
}

// add takes the next entry of the table.
func (r *rig) add() *poller.Entry {
	e := &r.sh.Entries[r.n]
	*e = poller.Entry{Ret: unwritten}
	r.n++
	return e
}

func (r *rig) send(fd int32, data string) *poller.Entry {
	b := r.alloc(max(len(data), 1))
	copy(b, data)
	e := r.add()
	e.Send(fd, unsafe.Pointer(&b[0]), len(data), 0)
	return e
}

// sendMsg records one sendmsg of parts.
func (r *rig) sendMsg(fd int32, parts ...string) *poller.Entry {
	iov := unsafe.Slice((*unix.Iovec)(unsafe.Pointer(&r.alloc(len(parts) * 16)[0])), len(parts))
	for i, p := range parts {
		b := r.alloc(len(p))
		copy(b, p)
		iov[i].Base = &b[0]
		iov[i].SetLen(len(p))
	}
	m := unix.Msghdr{Iov: &iov[0]}
	m.SetIovlen(len(parts))
	e := r.add()
	e.SendMsg(fd, place(r, m))
	return e
}

// recv records a receive of up to n bytes, and returns where they will be.
func (r *rig) recv(fd int32, n int) (*poller.Entry, []byte) {
	b := r.alloc(n)
	e := r.add()
	e.Recv(fd, unsafe.Pointer(&b[0]), n)
	return e, b
}

func (r *rig) sendfile(out, in int32, off *int64, n int64) *poller.Entry {
	e := r.add()
	e.Sendfile(out, in, off, n)
	return e
}

func (r *rig) closeFD(fd int32) *poller.Entry {
	e := r.add()
	e.CloseFD(fd)
	delete(r.open, fd)
	return e
}

func (r *rig) shutdown(fd int32, how int) *poller.Entry {
	e := r.add()
	e.Shutdown(fd, how)
	return e
}

func (r *rig) nop() *poller.Entry {
	e := r.add()
	e.NR = poller.Nop
	return e
}

func (r *rig) epollCtl(op int, fd int32, gen, mask uint32) *poller.Entry {
	ev := place(r, unix.EpollEvent{Events: mask})
	poller.EventData(ev, fd, gen)
	e := r.add()
	e.EpollCtl(r.ep.FD, int32(op), fd, ev)
	return e
}

// chain links es, which stand one behind the other.
func (r *rig) chain(es ...*poller.Entry) {
	for _, e := range es[:len(es)-1] {
		e.Flags |= poller.Link
	}
}

// expect runs what was recorded, and compares the results.
func (r *rig) expect(want ...int64) {
	r.Helper()
	got := r.results()
	if len(got) != len(want) {
		r.Fatalf("%d entries, %d results expected", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			r.Errorf("entry %d: result %s, want %s", i, ret(got[i]), ret(want[i]))
		}
	}
}

// results runs what was recorded. Whoever runs an entry writes only its result.
func (r *rig) results() (rets []int64) {
	r.Helper()
	before := append([]poller.Entry(nil), r.sh.Entries[:r.n]...)
	r.exec(r, r.n)
	for i, e := range before {
		after := r.sh.Entries[i]
		rets = append(rets, after.Ret)
		after.Ret = e.Ret
		if after != e {
			r.Errorf("entry %d: %+v became %+v", i, e, after)
		}
	}
	r.n = 0
	return rets
}

// errno is the result of a call that failed with e.
func errno(e unix.Errno) int64 { return -int64(e) }

func ret(v int64) string {
	if v == unwritten {
		return "unwritten"
	}
	if v < 0 && v > -4096 {
		return "-" + unix.ErrnoName(unix.Errno(-v))
	}
	return strconv.FormatInt(v, 10)
}

// tick is one Tick that must not fail.
func (r *rig) tick(n int) int {
	r.Helper()
	m, err := r.b.Tick(n)
	if err != nil {
		r.Fatalf("Tick: %v", err)
	}
	return m
}

// unseen is what found ends a case with.
type unseen struct{}

// found is a tick that has to report something, as something is ready. On some kernels (a
// 6.1 one does it) a look may see nothing while Go's netpoller, on another thread, asks the
// epoll whether it is readable: fs/eventpoll.c looks at its two lists without the lock under
// which the other one moves what is ready from one to the other. So the case is begun anew.
func (r *rig) found(n int) int {
	r.Helper()
	m := r.tick(n)
	if m == 0 {
		panic(unseen{})
	}
	return m
}

// park parks until look, which has to leave nothing in the epoll when it returns
// false, returns true.
func (r *rig) park(look func() bool) {
	r.Helper()
	var gaveUp atomic.Bool
	timer := time.AfterFunc(patience, func() {
		gaveUp.Store(true)
		r.ep.Wake()
	})
	defer timer.Stop()
	r.must(r.ep.Park(func() bool { return look() || gaveUp.Load() }))
	if gaveUp.Load() {
		r.Fatalf("parked for %v, and what should have ended it has not", patience)
	}
}

// events ticks, and parks in between, until want events have come, running what
// was recorded first.
func (r *rig) events(want int) (evs []poller.Event) {
	r.Helper()
	r.park(func() bool {
		for {
			m := r.tick(r.n)
			r.n = 0
			evs = append(evs, r.sh.Events[:m]...)
			if m == 0 || len(evs) >= want {
				return len(evs) >= want
			}
		}
	})
	if len(evs) > want {
		r.Fatalf("%d events, want %d: %+v", len(evs), want, evs)
	}
	return evs
}

// event is events(1).
func (r *rig) event() poller.Event {
	r.Helper()
	return r.events(1)[0]
}

// quiet looks, and there must be nothing.
func (r *rig) quiet() {
	r.Helper()
	if m := r.tick(0); m != 0 {
		r.Errorf("events without cause: %+v", r.sh.Events[:m])
	}
}

// watch registers fd and says what the harvest does with it.
func (r *rig) watch(fd int32, gen uint32, what poller.Interest) {
	r.Helper()
	r.sh.SetInterest(fd, gen, what)
	if err := r.ep.Add(fd, gen, poller.MaskIn); err != nil {
		r.Fatal(err)
	}
}

// harvested is what ev carries; its slot is free again afterwards.
func (r *rig) harvested(ev poller.Event) string {
	r.Helper()
	if ev.Slot < 0 {
		r.Fatalf("no slot: %+v", ev)
	}
	data := string(r.sh.Slot(ev.Slot)[:ev.N])
	r.sh.FreeSlot(ev.Slot)
	return data
}

// bare fails if ev carries anything but its mask.
func (r *rig) bare(ev poller.Event) {
	r.Helper()
	if ev.Slot != -1 || ev.N != 0 || ev.Err != 0 || ev.EOF != 0 {
		r.Errorf("harvested, and should not have been: %+v", ev)
	}
}

// call runs e by Call and returns its result.
func (r *rig) call(e *poller.Entry) int64 {
	e.Ret = unwritten
	r.b.Call(e)
	return e.Ret
}

// callRecv receives by Call what the harvest left, up to n bytes.
func (r *rig) callRecv(fd int32, n int) (string, int64) {
	b := r.alloc(n)
	e := new(poller.Entry)
	e.Recv(fd, unsafe.Pointer(&b[0]), n)
	ret := r.call(e)
	return string(b[:max(ret, 0)]), ret
}
