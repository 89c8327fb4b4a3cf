//go:build linux

package pollertest

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// few is a loop whose slots are soon full and soon gone.
var few = poller.Config{Slots: 4, SlotSize: 4096}

var harvestCases = []testcase{
	{name: "data", config: few, run: func(r *rig) {
		for _, dial := range []func() (int32, int32){r.pair, r.tcp} {
			a, b := dial()
			r.watch(a, 77, poller.HarvestRecv)
			r.write(b, "hello")
			ev := r.event()
			if ev.FD != a || ev.Gen != 77 || ev.Mask&^unix.EPOLLRDNORM != unix.EPOLLIN || ev.N != 5 || ev.Err != 0 || ev.EOF != 0 {
				r.Errorf("%+v", ev)
			}
			if got := r.harvested(ev); got != "hello" {
				r.Errorf("received %q", got)
			}
			r.quiet()
		}
	}},

	{name: "an event for each change", config: few, run: func(r *rig) {
		a, b := r.pair()
		r.watch(a, 1, poller.HarvestRecv)
		for i := range 5 {
			r.write(b, text(i+1))
			if got := r.harvested(r.event()); got != text(i+1) {
				r.Errorf("received %q, want %q", got, text(i+1))
			}
			r.quiet()
		}
	}},

	{name: "fills the slot", config: few, run: func(r *rig) {
		for _, more := range []int{0, 1, 100} {
			a, b := r.pair()
			r.watch(a, 1, poller.HarvestRecv)
			data := text(r.sh.SlotSize + more)
			r.write(b, data)
			ev := r.event()
			if int(ev.N) != r.sh.SlotSize {
				r.Errorf("%d bytes in a slot of %d", ev.N, r.sh.SlotSize)
			}
			got := r.harvested(ev)
			r.quiet() // the rest is no change: whoever saw a full slot asks for it
			for {
				part, n := r.callRecv(a, 64)
				if n == errno(unix.EAGAIN) {
					break
				}
				if n <= 0 {
					r.Fatalf("recv: %s", ret(n))
				}
				got += part
			}
			if got != data {
				r.Errorf("received %s, want %s", excerpt(got), excerpt(data))
			}
		}
	}},

	{name: "what is left comes with the next change", config: few, run: func(r *rig) {
		a, b := r.pair()
		r.watch(a, 1, poller.HarvestRecv)
		data := text(2 * r.sh.SlotSize)
		r.write(b, data[:len(data)-1])
		got := r.harvested(r.event())
		r.write(b, data[len(data)-1:])
		if got += r.harvested(r.event()); got != data {
			r.Errorf("received %s, want %s", excerpt(got), excerpt(data))
		}
	}},

	{name: "end of stream", config: few, run: func(r *rig) {
		for _, dial := range []func() (int32, int32){r.pair, r.tcp} {
			a, b := dial()
			r.watch(a, 1, poller.HarvestRecv)
			r.must(unix.Shutdown(int(b), unix.SHUT_WR))
			ev := r.event()
			if ev.EOF != 1 || ev.Slot != -1 || ev.N != 0 || ev.Err != 0 || ev.Mask&unix.EPOLLRDHUP == 0 {
				r.Errorf("%+v", ev)
			}
			// The other direction is as it was.
			r.send(a, "still here")
			if n := r.tick(1); n != 0 {
				r.Errorf("%+v", r.sh.Events[:n])
			}
			r.n = 0
			r.arrived(b, "still here")
		}
		r.slots(4)
	}},

	{name: "data and end of stream", config: few, run: func(r *rig) {
		for _, dial := range []func() (int32, int32){r.pair, r.tcp} {
			a, b := dial()
			r.write(b, "last words")
			r.must(unix.Shutdown(int(b), unix.SHUT_WR))
			r.await(a, unix.POLLIN|unix.POLLRDHUP)
			r.watch(a, 1, poller.HarvestRecv)
			ev := r.event()
			if ev.Mask&unix.EPOLLRDHUP == 0 || ev.Err != 0 {
				r.Errorf("%+v", ev)
			}
			if got := r.harvested(ev); got != "last words" {
				r.Errorf("received %q", got)
			}
			r.quiet()
			if got, n := r.callRecv(a, 64); n != 0 {
				r.Errorf("received %q, %s, want the end of the stream", got, ret(n))
			}
		}
	}},

	{name: "reset", config: few, run: func(r *rig) {
		a, b := r.tcp()
		r.watch(a, 1, poller.HarvestRecv)
		r.must(unix.SetsockoptLinger(int(b), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
		r.close(b)
		r.await(a, unix.POLLERR|unix.POLLHUP)
		ev := r.event()
		if unix.Errno(ev.Err) != unix.ECONNRESET || ev.Slot != -1 || ev.N != 0 || ev.EOF != 0 {
			r.Errorf("%+v, want ECONNRESET", ev)
		}
		r.slots(4)
	}},

	{name: "nothing asked for", config: few, run: func(r *rig) {
		a, b := r.pair()
		r.watch(a, 3, poller.HarvestNothing)
		r.write(b, "stays")
		ev := r.event()
		r.bare(ev)
		if ev.FD != a || ev.Gen != 3 || ev.Mask&unix.EPOLLIN == 0 {
			r.Errorf("%+v", ev)
		}
		r.quiet()
		r.arrived(a, "stays")
	}},

	{name: "interest changes while it is parked", config: few, run: func(r *rig) {
		a, b := r.pair()
		r.watch(a, 1, poller.HarvestNothing)
		go func() {
			r.sh.SetInterest(a, 1, poller.HarvestRecv)
			unix.Write(int(b), []byte("x"))
		}()
		if got := r.harvested(r.event()); got != "x" {
			r.Errorf("received %q", got)
		}
	}},

	{name: "another generation", config: few, run: func(r *rig) {
		for _, c := range []struct{ registered, interest uint32 }{{2, 1}, {1, 2}, {0, poller.GenMask}, {1 << 29, 1 << 28}} {
			a, b := r.pair()
			r.watch(a, c.registered, poller.HarvestNothing)
			r.sh.SetInterest(a, c.interest, poller.HarvestRecv)
			r.write(b, "not for you")
			ev := r.event()
			r.bare(ev)
			if ev.FD != a || ev.Gen != c.registered {
				r.Errorf("%+v, want descriptor %d in its life %d", ev, a, c.registered)
			}
			r.arrived(a, "not for you")
		}
		r.slots(4)
	}},

	{name: "generations are of 30 bits", config: few, run: func(r *rig) {
		for _, gen := range []uint32{0, 1, poller.GenMask, poller.GenMask + 2, 1<<32 - 1} {
			a, b := r.pair()
			r.watch(a, gen, poller.HarvestRecv)
			r.write(b, "x")
			if ev := r.event(); ev.Gen != gen&poller.GenMask || r.harvested(ev) != "x" {
				r.Errorf("generation %#x: %+v", gen, ev)
			}
		}
	}},

	{name: "number reused", config: few, run: func(r *rig) {
		a, b := r.pair()
		r.watch(a, 1, poller.HarvestRecv)
		r.write(b, "old")
		r.closeFD(a)
		if n := r.tick(1); n != 0 {
			r.Errorf("%+v", r.sh.Events[:n])
		}
		r.n = 0
		c, d := r.pair()
		if c != a {
			r.Fatalf("the number is %d, want %d: something else opens descriptors", c, a)
		}
		r.watch(c, 2, poller.HarvestRecv)
		r.write(d, "new")
		if ev := r.event(); ev.Gen != 2 || r.harvested(ev) != "new" {
			r.Errorf("%+v", ev)
		}
	}},

	{name: "no slot free", config: poller.Config{Slots: 1, SlotSize: 4096}, run: func(r *rig) {
		want := make(map[int32]string)
		for i := range 3 {
			a, b := r.pair()
			r.watch(a, 1, poller.HarvestRecv)
			want[a] = text(i + 1)
			r.write(b, want[a])
		}
		evs := r.events(3)
		r.slots(0)
		slots := 0
		for _, ev := range evs {
			if ev.Slot >= 0 {
				slots++
				if got := r.harvested(ev); got != want[ev.FD] {
					r.Errorf("received %q, want %q", got, want[ev.FD])
				}
				continue
			}
			r.bare(ev)
			if got, _ := r.callRecv(ev.FD, 64); got != want[ev.FD] {
				r.Errorf("received %q, want %q", got, want[ev.FD])
			}
		}
		if slots != 1 {
			r.Errorf("%d events have the one slot", slots)
		}
	}},

	{name: "the hottest slot first", config: few, run: func(r *rig) {
		a, b := r.pair()
		r.watch(a, 1, poller.HarvestRecv)
		next := func() int32 {
			r.write(b, "x")
			return r.event().Slot
		}
		s1, s2, s3 := next(), next(), next()
		if all := []int32{s1, s2, s3}; slices.Max(all) > 3 || slices.Min(all) < 0 || s1 == s2 || s2 == s3 || s1 == s3 {
			r.Fatalf("slots %v", all)
		}
		r.sh.FreeSlot(s3)
		r.sh.FreeSlot(s1)
		if again := next(); again != s1 {
			r.Errorf("slot %d, want the one that was freed last, %d", again, s1)
		}
		if again := next(); again != s3 {
			r.Errorf("slot %d, want %d", again, s3)
		}
	}},

	{name: "beyond the last descriptor", config: poller.Config{MaxFD: 3}, run: func(r *rig) {
		a, b := r.pair() // 0 to 2 are the standard streams
		r.watch(a, 1, poller.HarvestRecv)
		r.write(b, "stays")
		ev := r.event()
		r.bare(ev)
		if ev.FD != a || ev.Gen != 1 || ev.Mask&unix.EPOLLIN == 0 {
			r.Errorf("%+v", ev)
		}
		r.arrived(a, "stays")
	}},

	{name: "many at once", config: poller.Config{Slots: 32, SlotSize: 512}, run: func(r *rig) {
		want := make(map[int32]string)
		peers := make(map[int32]int32)
		for i := range 32 {
			a, b := r.pair()
			r.watch(a, uint32(a)+1000, poller.HarvestRecv)
			want[a], peers[a] = text(10*(i+1)), b
		}
		for round := range 3 {
			for a, b := range peers {
				r.write(b, want[a])
			}
			seen := make(map[int32]bool)
			for _, ev := range r.events(32) { // in whatever order
				if got := r.harvested(ev); got != want[ev.FD] || ev.Gen != uint32(ev.FD)+1000 || seen[ev.FD] {
					r.Errorf("round %d: %+v carries %q, want %q", round, ev, got, want[ev.FD])
				}
				seen[ev.FD] = true
			}
			r.quiet()
			r.slots(32)
		}
	}},
}

// slots fails unless n slots are free.
func (r *rig) slots(n int) {
	r.Helper()
	if got := r.sh.FreeSlots(); got != n {
		r.Errorf("%d slots are free, want %d", got, n)
	}
}
