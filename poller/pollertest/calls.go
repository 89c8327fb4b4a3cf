//go:build linux

package pollertest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// callCases is what other goroutines do beside the driver.
var callCases = []testcase{
	{name: "results", run: func(r *rig) {
		a, b := r.tight()
		buf := r.alloc(5)
		copy(buf, "hello")
		e := new(poller.Entry)
		check := func(want int64) {
			r.Helper()
			if got := r.call(e); got != want {
				r.Errorf("result %s, want %s", ret(got), ret(want))
			}
		}
		e.Send(a, unsafe.Pointer(&buf[0]), len(buf), 0)
		check(5)
		r.arrived(b, "hello")
		e.NR = poller.Nop
		check(0)
		r.fill(a)
		e.Send(a, unsafe.Pointer(&buf[0]), len(buf), 0)
		check(errno(unix.EAGAIN))
		e.Shutdown(a, unix.SHUT_RDWR)
		check(0)
		e.CloseFD(a)
		check(0)
		delete(r.open, a)
		check(errno(unix.EBADF))
	}},

	{name: "while it is parked", run: func(r *rig) {
		const callers, rounds = 4, 200
		var left atomic.Int32
		left.Store(callers)
		for c := range callers {
			a, b := r.pair()
			buf := r.alloc(64)
			go func() {
				defer func() {
					if left.Add(-1) == 0 {
						r.ep.Wake()
					}
				}()
				for i := range rounds {
					if err := roundTrip(r.b, a, b, buf, fmt.Sprintf("%d.%d", c, i)); err != nil {
						r.Error(err)
						return
					}
				}
			}()
		}
		r.park(func() bool { return r.tick(0) > 0 || left.Load() == 0 })
	}},

	{name: "while tables run", run: func(r *rig) {
		a, b := r.pair()
		r.watch(b, 1, poller.HarvestRecv)
		c, d := r.pair()
		buf := r.alloc(2 * 500)
		start := r.used
		var callers sync.WaitGroup
		callers.Go(func() {
			for i := range 500 {
				if err := roundTrip(r.b, c, d, buf, text(i+1)); err != nil {
					r.Error(err)
					return
				}
			}
		})
		for i := range 500 {
			r.used = start
			data := text(i + 1)
			r.send(a, data)
			if got := r.harvested(r.event()); got != data {
				r.Errorf("received %s, want %s", excerpt(got), excerpt(data))
			}
		}
		callers.Wait()
	}},

	{name: "registers while it is parked", run: func(r *rig) {
		a, b := r.pair()
		r.write(b, "x")
		ev := place(r, unix.EpollEvent{Events: poller.MaskIn})
		poller.EventData(ev, a, 3)
		go func() {
			r.sh.SetInterest(a, 3, poller.HarvestRecv)
			e := new(poller.Entry)
			e.EpollCtl(r.ep.FD, unix.EPOLL_CTL_ADD, a, ev)
			if r.b.Call(e); e.Ret != 0 {
				r.Errorf("epoll_ctl: %s", ret(e.Ret))
				r.ep.Wake()
			}
		}()
		if ev := r.event(); ev.FD != a || ev.Gen != 3 || r.harvested(ev) != "x" {
			r.Errorf("%+v", ev)
		}
	}},
}

// roundTrip sends data from one descriptor and receives it at the other, by
// Call. buf, twice as long as data, is where both lie: no stack, which may move.
func roundTrip(b poller.Backend, from, to int32, buf []byte, data string) error {
	n := len(data)
	out, in := buf[:n], buf[n:2*n]
	copy(out, data)
	clear(in)
	e := new(poller.Entry)
	e.Send(from, unsafe.Pointer(&out[0]), n, 0)
	if b.Call(e); e.Ret != int64(n) {
		return fmt.Errorf("send: %s, want %d", ret(e.Ret), n)
	}
	e.Recv(to, unsafe.Pointer(&in[0]), n)
	if b.Call(e); e.Ret != int64(n) || string(in) != data {
		return fmt.Errorf("recv: %s %q, want %q", ret(e.Ret), in, data)
	}
	return nil
}
