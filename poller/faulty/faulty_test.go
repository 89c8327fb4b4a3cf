//go:build linux

package faulty_test

import (
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/poller/faulty"
	"github.com/escahttp/esca/poller/pollertest"
)

func TestConformanceWithoutFaults(t *testing.T) {
	pollertest.Conformance(t, faulty.New(1, poller.Direct, faulty.WithRates(faulty.Rates{})))
}

// loop is what a test drives: one backend and one connection.
type loop struct {
	*testing.T
	f    *faulty.Factory
	ep   *poller.Epoll
	sh   *poller.Shared
	b    poller.Backend
	used int
}

// open is for tests that look and neither park nor wake. Their epoll is not in Go's
// netpoller: on some kernels a look can see nothing while the netpoller asks the same
// epoll (found, in pollertest).
func open(t *testing.T, f *faulty.Factory) *loop {
	t.Helper()
	pollertest.NoLeaks(t)
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return openOn(t, f, &poller.Epoll{FD: int32(fd)}) // what would wake it is in no epoll
}

// openToPark is for tests that park.
func openToPark(t *testing.T, f *faulty.Factory) *loop {
	t.Helper()
	pollertest.NoLeaks(t)
	ep, err := poller.OpenEpoll()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close() })
	return openOn(t, f, ep)
}

func openOn(t *testing.T, f *faulty.Factory, ep *poller.Epoll) *loop {
	t.Helper()
	sh, err := poller.NewShared(poller.Config{SlotSize: 4096, Slots: 32})
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Open(ep, sh)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		sh.Unmap()
		if t.Failed() {
			t.Log(f)
		}
	})
	return &loop{T: t, f: f, ep: ep, sh: sh, b: b}
}

func (l *loop) pair() (a, b int32) {
	l.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
	return int32(p[0]), int32(p[1])
}

func (l *loop) watch(fd int32, mask uint32) {
	l.Helper()
	l.sh.SetInterest(fd, 1, poller.HarvestRecv)
	if err := l.ep.Add(fd, 1, mask); err != nil {
		l.Fatal(err)
	}
}

// mem puts data where an entry may point to it.
func (l *loop) mem(data string) unsafe.Pointer {
	b := l.sh.Arena[l.used : l.used+len(data)]
	l.used += (len(data) + 15) &^ 15
	copy(b, data)
	return unsafe.Pointer(&b[0])
}

func (l *loop) tick() []poller.Event {
	l.Helper()
	n, err := l.b.Tick(0)
	if err != nil {
		l.Fatal(err)
	}
	return l.sh.Events[:n]
}

func (l *loop) call(e *poller.Entry) unix.Errno {
	if l.b.Call(e); e.Ret < 0 {
		return unix.Errno(-e.Ret)
	}
	return 0
}

func write(t testing.TB, fd int32, data string) {
	t.Helper()
	if n, err := unix.Write(int(fd), []byte(data)); n != len(data) || err != nil {
		t.Fatalf("write = %d, %v", n, err)
	}
}

func read(fd int32) string {
	b := make([]byte, 1<<16)
	n, _ := unix.Read(int(fd), b)
	return string(b[:max(n, 0)])
}

func TestSendFails(t *testing.T) {
	for _, c := range []struct {
		rates faulty.Rates
		want  unix.Errno
	}{
		{faulty.Rates{Again: 1}, unix.EAGAIN},
		{faulty.Rates{Interrupt: 1}, unix.EINTR},
		{faulty.Rates{NoBuffers: 1}, unix.ENOBUFS},
	} {
		t.Run(unix.ErrnoName(c.want), func(t *testing.T) {
			l := open(t, faulty.New(1, poller.Direct, faulty.WithRates(c.rates)))
			a, b := l.pair()
			l.watch(a, poller.MaskInOut)
			l.tick() // writable, from the start
			e := &l.sh.Entries[0]
			e.Send(a, l.mem("hello"), 5, 0)
			if errno := l.call(e); errno != c.want {
				t.Errorf("first: %v, want %v", errno, c.want)
			}
			if evs := l.tick(); len(evs) != 1 || evs[0].Mask != unix.EPOLLOUT {
				t.Errorf("a refused sender that waits for its edge gets none: %+v", evs)
			}
			if errno := l.call(e); errno != 0 || e.Ret != 5 {
				t.Errorf("second: %d", e.Ret)
			}
			if got := read(b); got != "hello" {
				t.Errorf("the peer got %q", got)
			}
			if log := l.f.Log(); len(log) != 1 || !strings.Contains(log[0], unix.ErrnoName(c.want)) {
				t.Errorf("log: %q", log)
			}
		})
	}
}

// A sender that waits for its edge after a short send gets one, too.
func TestShortSendIsFollowedByAnEdge(t *testing.T) {
	l := open(t, faulty.New(1, poller.Direct, faulty.WithRates(faulty.Rates{ShortSend: 1})))
	a, _ := l.pair()
	l.watch(a, poller.MaskInOut)
	l.tick()
	l.sh.Entries[0].Send(a, l.mem("hello"), 5, 0)
	l.b.Run(1)
	if evs := l.tick(); len(evs) != 1 || evs[0].Mask != unix.EPOLLOUT {
		t.Errorf("%d of 5 bytes sent, then %+v", l.sh.Entries[0].Ret, evs)
	}
}

func TestShortSendBreaksChain(t *testing.T) {
	l := open(t, faulty.New(1, poller.Direct, faulty.WithRates(faulty.Rates{ShortSend: 1})))
	a, b := l.pair()
	file, err := unix.MemfdCreate("file", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(file)
	write(t, int32(file), "0123456789")
	off := (*int64)(l.mem("\x00\x00\x00\x00\x00\x00\x00\x00"))
	iov := (*[2]unix.Iovec)(l.mem(strings.Repeat("\x00", 32)))
	iov[0] = unix.Iovec{Base: (*byte)(l.mem("01234")), Len: 5}
	iov[1] = unix.Iovec{Base: (*byte)(l.mem("56789")), Len: 5}
	msg := (*unix.Msghdr)(l.mem(strings.Repeat("\x00", int(unsafe.Sizeof(unix.Msghdr{})))))
	msg.Iov, msg.Iovlen = &iov[0], 2

	for range 20 {
		for name, record := range map[string]func(*poller.Entry){
			"send":     func(e *poller.Entry) { e.Send(a, l.mem("0123456789"), 10, 0) },
			"sendmsg":  func(e *poller.Entry) { e.SendMsg(a, msg) },
			"sendfile": func(e *poller.Entry) { *off = 0; e.Sendfile(a, int32(file), off, 10) },
		} {
			e, next := &l.sh.Entries[0], &l.sh.Entries[1]
			record(e)
			e.Flags = poller.Link
			args := e.Args
			next.Send(a, l.mem("!"), 1, 0)
			l.b.Run(2)
			if e.Ret < 1 || e.Ret > 9 || next.Ret != -int64(unix.ECANCELED) {
				t.Errorf("%s: %d, then %d", name, e.Ret, next.Ret)
			}
			if e.Args != args || iov[0].Len != 5 || iov[1].Len != 5 {
				t.Errorf("%s: its arguments have changed", name)
			}
			if got := read(b); got != "0123456789"[:e.Ret] {
				t.Errorf("%s: %d bytes, and the peer got %q", name, e.Ret, got)
			}
		}
	}
}

func TestResetKillsTheConnection(t *testing.T) {
	for _, name := range []string{"send", "recv"} {
		t.Run(name, func(t *testing.T) {
			l := open(t, faulty.New(1, poller.Direct, faulty.WithRates(faulty.Rates{Reset: 1})))
			a, b := l.pair()
			l.watch(a, poller.MaskIn)
			write(t, b, "never read")
			send, recv := new(poller.Entry), new(poller.Entry)
			send.Send(a, l.mem("x"), 1, 0)
			recv.Recv(a, l.mem("x"), 1)
			first := map[string]*poller.Entry{"send": send, "recv": recv}[name]
			if errno := l.call(first); errno != unix.ECONNRESET {
				t.Errorf("%v, want ECONNRESET", errno)
			}
			for range 2 {
				if s, r := l.call(send), l.call(recv); s != unix.EPIPE || r != unix.ECONNRESET {
					t.Errorf("afterwards: send %v, recv %v", s, r)
				}
			}
			if evs := l.tick(); len(evs) != 1 || evs[0].FD != a || unix.Errno(evs[0].Err) != unix.ECONNRESET {
				t.Errorf("events: %+v", evs)
			}
			if n, err := unix.Read(int(b), make([]byte, 1)); n != 0 || err != nil {
				t.Errorf("the peer reads %d, %v, want the end", n, err)
			}
			if l.sh.FreeSlots() != 32 {
				t.Errorf("%d slots are free", l.sh.FreeSlots())
			}
		})
	}
}

// A number is dead only for as long as the connection behind it is.
func TestResetDoesNotOutliveTheConnection(t *testing.T) {
	f := faulty.New(1, poller.Direct, faulty.WithRates(faulty.Rates{Reset: 0.5}))
	l := open(t, f)
	resets := 0
	for i := range 200 {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		e := new(poller.Entry)
		e.Send(int32(p[0]), unsafe.Pointer(&l.sh.Arena[0]), 1, 0)
		switch errno := l.call(e); errno {
		case 0:
		case unix.ECONNRESET:
			resets++
		default:
			t.Fatalf("connection %d: %v, it was never used before", i, errno)
		}
		unix.Close(p[0]) // past the backend, which must find out
		unix.Close(p[1])
	}
	if resets == 0 || resets == 200 {
		t.Errorf("%d of 200 were reset", resets)
	}
}

func TestInterruptedRecv(t *testing.T) {
	l := open(t, faulty.New(1, poller.Direct, faulty.WithRates(faulty.Rates{Interrupt: 1})))
	a, b := l.pair()
	write(t, b, "hello")
	e := new(poller.Entry)
	e.Recv(a, l.mem("-----"), 5)
	if errno := l.call(e); errno != unix.EINTR {
		t.Errorf("%v, want EINTR", errno)
	}
	if l.call(e); e.Ret != 5 {
		t.Errorf("second: %d", e.Ret)
	}
}

func TestShortHarvest(t *testing.T) {
	l := open(t, faulty.New(1, poller.Direct, faulty.WithRates(faulty.Rates{ShortRecv: 1})))
	a, b := l.pair()
	data := strings.Repeat("0123456789", 10)
	write(t, b, data)
	if err := unix.Shutdown(int(b), unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	l.watch(a, poller.MaskIn)
	got, ticks := "", 0
	for ; len(got) < len(data); ticks++ {
		evs := l.tick()
		if len(evs) != 1 || evs[0].Slot < 0 {
			t.Fatalf("after %q: %+v", got, evs)
		}
		got += string(l.sh.Slot(evs[0].Slot)[:evs[0].N])
		l.sh.FreeSlot(evs[0].Slot)
		if end := evs[0].Mask&unix.EPOLLRDHUP != 0; end != (len(got) == len(data)) {
			t.Errorf("%d bytes, and the end announced: %v", len(got), end)
		}
	}
	if got != data || ticks < 2 {
		t.Errorf("%q in %d ticks", got, ticks)
	}
}

func TestWithheldEvents(t *testing.T) {
	l := open(t, faulty.New(1, poller.Direct, faulty.WithRates(faulty.Rates{Withhold: 1})))
	a, b := l.pair()
	c, d := l.pair()
	l.watch(a, poller.MaskIn)
	l.watch(c, poller.MaskIn)
	write(t, b, "x")
	write(t, d, "x")
	if evs := l.tick(); len(evs) != 0 {
		t.Errorf("not withheld: %+v", evs)
	}
	unix.Close(int(c)) // a kernel would say no more about it
	evs := l.tick()
	if len(evs) != 1 || evs[0].FD != a || evs[0].N != 1 {
		t.Errorf("a Tick later: %+v", evs)
	}
	if evs := l.tick(); len(evs) != 0 {
		t.Errorf("another Tick later: %+v", evs)
	}
}

func TestShuffledEvents(t *testing.T) {
	l := open(t, faulty.New(1, poller.Direct, faulty.WithRates(faulty.Rates{Shuffle: 1})))
	var fds []int32
	for range 16 {
		a, b := l.pair()
		l.watch(a, poller.MaskIn)
		write(t, b, "x")
		fds = append(fds, a)
	}
	var got []int32
	for _, ev := range l.tick() {
		got = append(got, ev.FD)
	}
	if slices.Equal(got, fds) {
		t.Errorf("in order: %v", got)
	}
	if slices.Sort(got); !slices.Equal(got, fds) {
		t.Errorf("events of %v, want %v", got, fds)
	}
}

func TestAcceptFails(t *testing.T) {
	for seed := range uint64(20) {
		l := open(t, faulty.New(seed, poller.Direct, faulty.WithRates(faulty.Rates{Accept: 0.5})))
		ln, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(ln)
		if err := unix.Bind(ln, &unix.SockaddrUnix{}); err != nil { // the kernel names it
			t.Fatal(err)
		}
		if err := unix.Listen(ln, 64); err != nil {
			t.Fatal(err)
		}
		at, err := unix.Getsockname(ln)
		if err != nil {
			t.Fatal(err)
		}
		const clients = 40 // more than the 32 that a slot holds
		for range clients {
			c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(c)
			if err := unix.Connect(c, at); err != nil {
				t.Fatal(err)
			}
		}
		l.sh.SetInterest(int32(ln), 1, poller.HarvestAccept)
		if err := l.ep.Add(int32(ln), 1, poller.MaskIn); err != nil {
			t.Fatal(err)
		}
		accepted := 0
		for accepted < clients {
			evs := l.tick()
			if len(evs) != 1 {
				t.Fatalf("seed %d: %d of %d accepted, and no event", seed, accepted, clients)
			}
			ev := evs[0]
			if ev.Slot >= 0 {
				for _, a := range l.sh.AcceptedIn(ev.Slot, ev.N) {
					unix.Close(int(a.FD))
				}
				l.sh.FreeSlot(ev.Slot)
				accepted += int(ev.N)
			}
			switch {
			case unix.Errno(ev.Err) == unix.EMFILE, ev.N == 32:
				mod := (*unix.EpollEvent)(l.mem(strings.Repeat("\x00", 16)))
				mod.Events = poller.MaskIn
				poller.EventData(mod, int32(ln), 1)
				e := new(poller.Entry)
				e.EpollCtl(l.ep.FD, unix.EPOLL_CTL_MOD, int32(ln), mod)
				if errno := l.call(e); errno != 0 {
					t.Fatal(errno)
				}
			case ev.Err != 0:
				t.Fatalf("%+v", ev)
			}
		}
		if len(l.f.Log()) == 0 {
			t.Errorf("seed %d: nothing injected", seed)
		}
	}
}

// The seed, the order of opening and the side decide what happens, nothing else.
func TestScripts(t *testing.T) {
	f := faulty.New(7, poller.Direct, faulty.WithRates(faulty.Rates{Again: 0.5}))
	first, second := open(t, f), open(t, f)
	tables, calls := script(first, false), script(first, true)
	again := open(t, faulty.New(7, poller.Direct, faulty.WithRates(faulty.Rates{Again: 0.5})))
	if c, tb := script(again, true), script(again, false); tb != tables || c != calls {
		t.Errorf("the same seed, in another order of calls and tables:\n%s\n%s\n%s\n%s", tables, tb, calls, c)
	}
	other := open(t, faulty.New(8, poller.Direct, faulty.WithRates(faulty.Rates{Again: 0.5})))
	for name, s := range map[string]string{"by Call": calls, "of the second loop": script(second, false), "of another seed": script(other, false)} {
		if s == tables {
			t.Errorf("what %s happens is what happens to the first table: %s", name, s)
		}
	}
}

// script is what happens to 100 sends, a letter each.
func script(l *loop, call bool) string {
	l.Helper()
	a, _ := l.pair()
	var s strings.Builder
	for range 100 {
		e := &l.sh.Entries[0]
		e.Send(a, unsafe.Pointer(&l.sh.Arena[0]), 1, 0)
		if call {
			l.b.Call(e)
		} else {
			l.b.Run(1)
		}
		s.WriteByte("x."[max(e.Ret, 0)])
	}
	return s.String()
}

func TestLogIsBounded(t *testing.T) {
	l := open(t, faulty.New(1, poller.Direct, faulty.WithRates(faulty.Rates{Again: 1})))
	a, _ := l.pair()
	e := new(poller.Entry)
	e.Send(a, unsafe.Pointer(&l.sh.Arena[0]), 0, 0)
	for range 2 * 5000 { // every other one fails
		l.b.Call(e)
	}
	if n := len(l.f.Log()); n < 1000 || n > 2000 {
		t.Errorf("%d lines", n)
	}
	if s := l.f.String(); !strings.Contains(s, "5000 faults") {
		t.Errorf("%.60q does not say how many faults there were", s)
	}
}

func TestNameAndProbe(t *testing.T) {
	f := faulty.New(42, poller.Direct)
	if p := f.Probe(); f.Name() != "faulty-direct" || p.Name != f.Name() || p.Err() != nil {
		t.Errorf("%s: %v", f.Name(), p)
	}
	if s := f.String(); !strings.Contains(s, "seed 42") {
		t.Errorf("%q does not name the seed", s)
	}
}
