//go:build linux

package pollertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

var parkCases = []testcase{
	{name: "not if there is something to see to", run: func(r *rig) {
		looks := 0
		r.park(func() bool { looks++; return true })
		if looks != 1 {
			r.Errorf("%d looks, want 1", looks)
		}
	}},

	{name: "ready before", run: func(r *rig) {
		a, b := r.pair()
		r.watch(a, 1, poller.HarvestRecv)
		r.write(b, "x")
		if got := r.harvested(r.event()); got != "x" {
			r.Errorf("received %q", got)
		}
	}},

	{name: "ready between the look and the park", run: func(r *rig) {
		a, b := r.pair()
		r.watch(a, 1, poller.HarvestRecv)
		for i := range 100 {
			looks := 0
			r.park(func() bool {
				looks++
				if r.tick(0) == 1 {
					return true
				}
				if looks == 1 {
					r.write(b, text(i+1))
				}
				return false
			})
			if got := r.harvested(r.sh.Events[0]); got != text(i+1) {
				r.Errorf("received %q, want %q", got, text(i+1))
			}
		}
	}},

	{name: "ready while it is parked", run: func(r *rig) {
		a, b := r.pair()
		r.watch(a, 1, poller.HarvestRecv)
		for i := range 20 {
			r.whenParked(func() { unix.Write(int(b), []byte(text(i+1))) })
			if got := r.harvested(r.event()); got != text(i+1) {
				r.Errorf("received %q, want %q", got, text(i+1))
			}
		}
	}},

	{name: "ready at any time", run: func(r *rig) {
		a, b := r.pair()
		r.watch(a, 1, poller.HarvestRecv)
		for range 500 {
			go unix.Write(int(b), []byte("x")) // before, during or between two looks
			if got := r.harvested(r.event()); got != "x" {
				r.Errorf("received %q", got)
			}
		}
	}},

	{name: "registered while it is parked", run: func(r *rig) {
		a, b := r.pair()
		r.write(b, "x")
		r.whenParked(func() { r.watch(a, 1, poller.HarvestRecv) })
		if got := r.harvested(r.event()); got != "x" {
			r.Errorf("received %q", got)
		}
	}},

	{name: "parks again behind a look that has drained", run: func(r *rig) {
		peers := make(map[int32]int32)
		for range 8 {
			a, b := r.pair()
			r.watch(a, 1, poller.HarvestRecv)
			peers[a] = b
		}
		for range 3 {
			for _, b := range peers {
				r.write(b, "x")
			}
			for _, ev := range r.events(len(peers)) {
				r.harvested(ev)
			}
			for _, b := range peers {
				r.whenParked(func() { unix.Write(int(b), []byte("y")) })
				if got := r.harvested(r.event()); got != "y" {
					r.Errorf("received %q", got)
				}
			}
		}
	}},

	{name: "more ready than a Tick reports", config: poller.Config{Events: 4, Slots: 16}, run: func(r *rig) {
		var peers []int32
		for range 11 {
			a, b := r.pair()
			r.watch(a, 1, poller.HarvestRecv)
			peers = append(peers, b)
		}
		for range 3 {
			r.whenParked(func() {
				for _, b := range peers {
					unix.Write(int(b), []byte("x"))
				}
			})
			for _, ev := range r.events(len(peers)) {
				r.harvested(ev)
			}
		}
	}},

	{name: "woken before", run: func(r *rig) {
		r.ep.Wake()
		looks := 0
		r.park(func() bool {
			looks++
			r.quiet()
			return true
		})
		if looks != 1 {
			r.Errorf("%d looks, want 1", looks)
		}
	}},

	// A Tick may take the wake of what was posted before it: what is looked at after
	// it has to see that.
	{name: "woken before the look asks", run: func(r *rig) {
		for range 100 {
			var posted atomic.Bool
			r.park(func() bool {
				if !posted.Swap(true) {
					r.ep.Wake()
				}
				r.quiet()
				return posted.Load()
			})
		}
	}},

	// A wake that comes after the Tick is no other look's: a loop gives way so.
	{name: "woken after the look has asked", run: func(r *rig) {
		for range 100 {
			looks := 0
			r.park(func() bool {
				r.quiet()
				if looks++; looks == 1 {
					r.ep.Wake()
				}
				return looks == 2
			})
		}
	}},

	{name: "woken while it is parked", run: func(r *rig) {
		for range 20 {
			var posted atomic.Bool
			r.whenParked(func() { posted.Store(true); r.ep.Wake() })
			r.park(func() bool { r.quiet(); return posted.Load() })
		}
	}},

	{name: "woken at any time", run: func(r *rig) {
		for range 500 {
			var posted atomic.Bool
			go func() { posted.Store(true); r.ep.Wake() }()
			r.park(func() bool {
				r.quiet()
				return posted.Load()
			})
		}
	}},

	{name: "many wakes are one", run: func(r *rig) {
		for range 1000 {
			r.ep.Wake()
		}
		var looks, before atomic.Int32
		r.whenParked(func() {
			before.Store(looks.Load())
			for range 1000 {
				r.ep.Wake()
			}
		})
		r.park(func() bool {
			looks.Add(1)
			r.quiet()
			return before.Load() > 0
		})
		// One that a Wake asks for, and one for an edge that the netpoller had
		// seen before the look took its cause.
		if n := before.Load(); n > 2 {
			r.Errorf("%d looks for what came before, want one or two", n)
		}
	}},

	{name: "others run meanwhile", run: func(r *rig) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		for range 20 {
			var done atomic.Bool
			turns := 0
			r.whenParked(func() {
				for range 100 {
					turns++
					runtime.Gosched()
				}
				done.Store(true)
				r.ep.Wake()
			})
			r.park(func() bool { r.quiet(); return done.Load() })
			if turns != 100 {
				r.Errorf("%d turns, want 100", turns)
			}
		}
	}},

	{name: "no timer is armed", run: idles},

	{name: "closed", run: func(r *rig) {
		ep, err := poller.OpenEpoll()
		r.must(err)
		var looks atomic.Int32
		r.whenParked(func() { ep.Close() })
		if err := ep.Park(func() bool { looks.Add(1); return false }); !errors.Is(err, os.ErrClosed) {
			r.Errorf("Park: %v, want %v", err, os.ErrClosed)
		}
		if err := ep.Park(func() bool { looks.Add(1); return false }); !errors.Is(err, os.ErrClosed) {
			r.Errorf("a second Park: %v, want %v", err, os.ErrClosed)
		}
		if looks.Load() != 1 {
			r.Errorf("%d looks, want 1", looks.Load())
		}
		if err := ep.Close(); !errors.Is(err, os.ErrClosed) {
			r.Errorf("a second Close: %v, want %v", err, os.ErrClosed)
		}
	}},
}

// whenParked has f run by another goroutine once the calling one is parked, which
// it has to be within Park; that it waits for input there, and is not in a system
// call, is what leaves its processor to others.
func (r *rig) whenParked(f func()) {
	r.Helper()
	me := goroutine()
	done := make(chan struct{})
	r.Cleanup(func() { <-done })
	go func() {
		defer close(done)
		traces := make([]byte, 1<<20)
		for deadline := time.Now().Add(patience); !parked(me, traces); runtime.Gosched() {
			if time.Now().After(deadline) {
				r.Errorf("it is not parked after %v", patience)
				break
			}
		}
		f()
	}()
}

// goroutine is how a stack trace calls the calling goroutine.
func goroutine() []byte {
	buf := make([]byte, 64)
	name, _, _ := bytes.Cut(buf[:runtime.Stack(buf, false)], []byte("["))
	return bytes.Clone(name)
}

// parked reports whether a goroutine waits, within Park, for Go's netpoller. traces
// is room for the stack traces of all.
func parked(name, traces []byte) bool {
	_, of, _ := bytes.Cut(traces[:runtime.Stack(traces, true)], append([]byte("\n\n"), name...))
	of, _, _ = bytes.Cut(of, []byte("\n\n"))
	return bytes.HasPrefix(of, []byte("[IO wait")) && bytes.Contains(of, []byte("(*Epoll).Park"))
}

// idles parks in a process of its own, in which nothing else waits for time to pass:
// then Go's netpoller, in which its threads end up, waits without a limit.
func idles(r *rig) {
	if r.isChild() {
		r.must(unix.SetNonblock(0, true))
		r.watch(0, 1, poller.HarvestNothing)
		r.must(r.ep.Park(func() bool { return r.tick(0) > 0 }))
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	cmd, out := child(ctx, r), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	in, err := cmd.StdinPipe()
	r.must(err)
	r.must(cmd.Start())
	for !waitsForEver(r, cmd.Process.Pid) && ctx.Err() == nil {
		runtime.Gosched()
	}
	if ctx.Err() != nil {
		r.Errorf("nothing in the process waits without a limit")
	}
	in.Write([]byte("x"))
	err = cmd.Wait() // and only then all it says is there
	r.passed(out.String(), err)
}

// waitsForEver reports whether a thread of the process is in an epoll_wait without
// a limit.
func waitsForEver(r *rig, pid int) bool {
	r.Helper()
	calls, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	r.must(err)
	for _, name := range calls {
		var nr, ep, buf, n, timeout uint64
		line, err := os.ReadFile(name)
		if errors.Is(err, os.ErrPermission) {
			r.Skipf("a process may not look at the system calls of another: %v", err)
		}
		k, _ := fmt.Sscanf(string(line), "%d %v %v %v %v", &nr, &ep, &buf, &n, &timeout)
		if k == 5 && nr == unix.SYS_EPOLL_PWAIT && int32(timeout) == -1 {
			return true
		}
	}
	return false
}
