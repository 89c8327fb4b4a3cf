//go:build linux

package pollertest

import (
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

var lookCases = []testcase{
	{name: "it does not wait", run: func(r *rig) {
		a, b := r.pair()
		r.watch(a, 1, poller.HarvestRecv)
		r.quiet()
		r.write(b, "x")
		if n := r.found(0); n != 1 {
			r.Errorf("%d events, want 1", n)
		}
	}},

	{name: "waking is no event", run: func(r *rig) {
		r.ep.Wake()
		r.quiet()
		r.quiet()
	}},

	{name: "woken and ready", run: func(r *rig) {
		a, b := r.pair()
		r.watch(a, 1, poller.HarvestRecv)
		r.ep.Wake()
		r.write(b, "x")
		if got := r.harvested(r.event()); got != "x" {
			r.Errorf("received %q", got)
		}
		r.quiet()
	}},

	// Who is told of no event parks; so there must be none.
	{name: "a wake hides no event", config: poller.Config{Events: 1}, run: func(r *rig) {
		r.ep.Wake()
		a, b := r.pair()
		r.watch(a, 1, poller.HarvestRecv)
		r.write(b, "x")
		if n := r.found(0); n != 1 {
			r.Errorf("%d events, want 1", n)
		}
	}},

	{name: "entries run before the look", run: func(r *rig) {
		a, b := r.pair()
		r.watch(b, 1, poller.HarvestRecv)
		r.send(a, "to myself")
		if n := r.found(1); n != 1 {
			r.Fatalf("%d events, want 1", n)
		}
		if got := r.harvested(r.sh.Events[0]); got != "to myself" {
			r.Errorf("received %q", got)
		}
	}},

	{name: "entries run although events wait", run: func(r *rig) {
		a, b := r.pair()
		c, d := r.pair()
		r.watch(a, 1, poller.HarvestRecv)
		r.write(b, "x")
		r.send(c, "y")
		if n := r.found(1); n != 1 {
			r.Fatalf("%d events, want 1", n)
		}
		r.arrived(d, "y")
	}},

	{name: "registered and reported in one tick", run: func(r *rig) {
		a, b := r.pair()
		r.write(b, "early")
		r.sh.SetInterest(a, 5, poller.HarvestRecv)
		r.epollCtl(unix.EPOLL_CTL_ADD, a, 5, poller.MaskIn)
		if n := r.found(1); n != 1 {
			r.Fatalf("%d events, want 1", n)
		}
		if ev := r.sh.Events[0]; ev.FD != a || ev.Gen != 5 || r.harvested(ev) != "early" {
			r.Errorf("%+v", ev)
		}
		if r.sh.Entries[0].Ret != 0 {
			r.Errorf("epoll_ctl: %s", ret(r.sh.Entries[0].Ret))
		}
	}},

	{name: "writable is reported once it is asked for", run: func(r *rig) {
		a, b := r.tight()
		r.watch(a, 1, poller.HarvestRecv)
		r.quiet()
		r.epollCtl(unix.EPOLL_CTL_MOD, a, 1, poller.MaskInOut)
		ev := r.event()
		if ev.Mask != unix.EPOLLOUT {
			r.Errorf("mask %#x", ev.Mask)
		}
		r.bare(ev)
		r.quiet()

		n := r.fill(a)
		r.quiet()
		r.received(b, n)
		if ev := r.event(); ev.Mask != unix.EPOLLOUT {
			r.Errorf("mask %#x", ev.Mask)
		}

		r.write(b, "x")
		if ev := r.event(); ev.Mask != unix.EPOLLIN|unix.EPOLLOUT || r.harvested(ev) != "x" {
			r.Errorf("%+v", ev)
		}
		r.epollCtl(unix.EPOLL_CTL_MOD, a, 1, poller.MaskIn)
		if n := r.tick(1); n != 0 {
			r.Errorf("writable is still reported: %+v", r.sh.Events[0])
		}
	}},

	{name: "no events of what has been removed or closed", run: func(r *rig) {
		a, b := r.pair()
		c, d := r.pair()
		r.watch(a, 1, poller.HarvestRecv)
		r.watch(c, 1, poller.HarvestRecv)
		r.write(b, "x")
		r.write(d, "x")
		r.epollCtl(unix.EPOLL_CTL_DEL, a, 1, 0)
		r.closeFD(c)
		if n := r.tick(2); n != 0 {
			r.Errorf("%+v", r.sh.Events[:n])
		}
		r.arrived(a, "x")
	}},

	{name: "more ready than events", config: poller.Config{Events: 4, Slots: 16}, run: func(r *rig) {
		const all = 11
		seen := make(map[int32]string)
		for i := range all {
			a, b := r.pair()
			r.watch(a, uint32(i), poller.HarvestRecv)
			r.write(b, text(i+1))
			seen[a] = text(i + 1)
		}
		for _, ev := range r.events(all) {
			if got := r.harvested(ev); got != seen[ev.FD] {
				r.Errorf("descriptor %d: received %q, want %q", ev.FD, got, seen[ev.FD])
			}
			delete(seen, ev.FD)
		}
		if len(seen) > 0 {
			r.Errorf("not reported: %v", seen)
		}
		r.quiet()
	}},

	{name: "any thread may tick", run: func(r *rig) {
		a, b := r.pair()
		r.watch(b, 1, poller.HarvestRecv)
		for i := range 8 {
			data := text(i + 1)
			done := make(chan struct{})
			go func() {
				defer close(done)
				runtime.LockOSThread() // and never unlocked: the thread ends here
				r.send(a, data)
				r.n = 0
				n, err := r.b.Tick(1)
				for again := 0; again < 2 && n == 0 && err == nil; again++ { // unseen
					n, err = r.b.Tick(0)
				}
				if n != 1 || err != nil {
					r.Errorf("Tick = %d, %v", n, err)
				}
			}()
			<-done
			if got := r.harvested(r.sh.Events[0]); got != data {
				r.Errorf("received %q, want %q", got, data)
			}
		}
	}},

	{name: "two loops", run: func(r *rig) {
		r2 := newRig(r.T, r.factory, poller.Config{}, execTick)
		a, b := r.pair()
		c, d := r.pair()
		r.watch(a, 1, poller.HarvestRecv)
		r2.watch(c, 1, poller.HarvestRecv)
		r.send(d, "from the first")
		r2.send(b, "from the second")
		if n := r.tick(1); n != 0 {
			r.Errorf("the first loop reports %+v", r.sh.Events[:n])
		}
		r.n = 0
		if got := r2.harvested(r2.event()); got != "from the first" {
			r.Errorf("received %q", got)
		}
		if got := r.harvested(r.event()); got != "from the second" {
			r.Errorf("received %q", got)
		}
	}},
}
