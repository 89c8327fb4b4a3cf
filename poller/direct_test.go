//go:build linux

package poller

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// scripted is an exec for Harvest: each call has the next result.
func scripted(t *testing.T, rets ...int64) func(*Entry) {
	t.Cleanup(func() {
		if len(rets) > 0 {
			t.Errorf("%d calls too few", len(rets))
		}
	})
	return func(e *Entry) {
		if len(rets) == 0 {
			t.Fatalf("a call too many: %+v", *e)
		}
		e.Ret, rets = rets[0], rets[1:]
	}
}

func TestHarvestResults(t *testing.T) {
	no := func(e unix.Errno) int64 { return -int64(e) }
	again, intr, aborted := no(unix.EAGAIN), no(unix.EINTR), no(unix.ECONNABORTED)
	for _, c := range []struct {
		name string
		what Interest
		rets []int64
		want Event
		fds  []int32 // accepted
	}{
		{"data", HarvestRecv, []int64{5}, Event{N: 5}, nil},
		{"end", HarvestRecv, []int64{0}, Event{Slot: -1, EOF: 1}, nil},
		{"nothing", HarvestRecv, []int64{again}, Event{Slot: -1}, nil},
		{"interrupted", HarvestRecv, []int64{intr}, Event{Slot: -1}, nil},
		{"reset", HarvestRecv, []int64{no(unix.ECONNRESET)}, Event{Slot: -1, Err: int32(unix.ECONNRESET)}, nil},
		{"nobody", HarvestAccept, []int64{again}, Event{Slot: -1}, nil},
		{"two", HarvestAccept, []int64{7, 1, 8, 0}, Event{N: 2}, []int32{7, 8}},
		{"a full slot", HarvestAccept, []int64{7, 1, 8, 1, 9}, Event{N: 3}, []int32{7, 8, 9}},
		{"aborted between", HarvestAccept, []int64{7, 1, aborted, 8, 0}, Event{N: 2}, []int32{7, 8}},
		// Not a record short: that would say that nobody is left.
		{"aborted and a full slot", HarvestAccept, []int64{aborted, 7, 1, intr, 8, 1, 9}, Event{N: 3}, []int32{7, 8, 9}},
		{"another process was quicker", HarvestAccept, []int64{7, 1, again}, Event{N: 1}, []int32{7}},
		{"a poll interrupted", HarvestAccept, []int64{7, intr, 8, 0}, Event{N: 2}, []int32{7, 8}},
		{"aborted only", HarvestAccept, []int64{aborted, again}, Event{Slot: -1}, nil},
		{"too many open", HarvestAccept, []int64{no(unix.EMFILE)}, Event{Slot: -1, Err: int32(unix.EMFILE)}, nil},
		{"too many open in the end", HarvestAccept, []int64{7, 1, no(unix.ENFILE)}, Event{N: 1, Err: int32(unix.ENFILE)}, []int32{7}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShared(t, Config{Slots: 1, SlotSize: 3 * AcceptedSize, MaxFD: 10})
			s.SetInterest(3, 1, c.what)
			ev := Event{FD: 3, Gen: 1, Slot: -1}
			c.want.FD, c.want.Gen = 3, 1
			counts := Harvest(s, &ev, scripted(t, c.rets...))
			if ev != c.want {
				t.Errorf("%+v, want %+v", ev, c.want)
			}
			if counts.Crossings != uint64(len(c.rets)) || counts.ByCall[CallRecv]+counts.ByCall[CallAccept]+counts.ByCall[CallOther] != uint64(len(c.rets)) {
				t.Errorf("%+v, want %d calls", counts, len(c.rets))
			}
			if free := s.FreeSlots(); (free == 1) != (c.want.Slot < 0) {
				t.Errorf("%d slots are free", free)
			}
			for i, fd := range c.fds {
				if a := s.AcceptedIn(ev.Slot, ev.N)[i]; a.FD != fd || int(a.Len) != len(a.Addr) {
					t.Errorf("record %d: descriptor %d, room for %d bytes of address; want %d", i, a.FD, a.Len, fd)
				}
			}
		})
	}
}

// rig is a direct backend and a connection that it watches.
func rig(t testing.TB) (b Backend, s *Shared, watched, peer int32) {
	t.Helper()
	ep := newEpoll(t)
	s = newShared(t, Config{MaxFD: 1 << 10})
	b, err := Direct.Open(ep, s)
	if err != nil {
		t.Fatal(err)
	}
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
	watched, peer = int32(p[0]), int32(p[1])
	s.SetInterest(watched, 1, HarvestRecv)
	if err := ep.Add(watched, 1, MaskIn); err != nil {
		t.Fatal(err)
	}
	return b, s, watched, peer
}

// echo is one turn: the peer's bytes arrive, and as many go back and are read.
func echo(t testing.TB, b Backend, s *Shared, watched, peer int32) {
	s.Entries[0].Send(peer, unsafe.Pointer(&s.Arena[0]), 10, 0)
	if n, err := b.Tick(1); n != 1 || err != nil || s.Events[0].N != 10 {
		t.Fatalf("Tick = %d, %v: %+v", n, err, s.Events[0])
	}
	s.FreeSlot(s.Events[0].Slot)
	s.Entries[0].Send(watched, unsafe.Pointer(&s.Arena[0]), 10, 0)
	s.Entries[0].Flags = Link
	s.Entries[1].Recv(peer, unsafe.Pointer(&s.Arena[0]), 10)
	if b.Run(2); s.Entries[1].Ret != 10 {
		t.Fatalf("recv: %d", s.Entries[1].Ret)
	}
}

// Direct crosses for every call: that is what the others are measured against.
func TestDirectCounts(t *testing.T) {
	b, s, watched, peer := rig(t)
	for range 5 {
		echo(t, b, s, watched, peer)
	}
	if n, err := b.Tick(0); n != 0 || err != nil {
		t.Fatalf("Tick = %d, %v", n, err)
	}
	want := Counts{Ticks: 6, Crossings: 5*5 + 1}
	want.ByCall[CallSend], want.ByCall[CallRecv], want.ByCall[CallEpollWait] = 10, 10, 6
	if got := *b.Counts(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestDirectDoesNotAllocate(t *testing.T) {
	b, s, watched, peer := rig(t)
	if n := testing.AllocsPerRun(100, func() { echo(t, b, s, watched, peer) }); n != 0 {
		t.Errorf("%v allocations a turn", n)
	}
}

func BenchmarkDirectEcho(b *testing.B) {
	be, s, watched, peer := rig(b)
	b.ReportAllocs()
	for b.Loop() {
		echo(b, be, s, watched, peer)
	}
}
