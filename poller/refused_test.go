//go:build linux

package poller

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refusals are what an enter can fail with, and whether the ring is given up then.
var refusals = []struct {
	errno   syscall.Errno // 0: it does nothing
	forGood bool
}{
	{unix.EPERM, true}, {unix.ENOSYS, true}, {unix.EBADF, true}, {0, true},
	{unix.EAGAIN, false}, {unix.EBUSY, false}, {unix.ENOMEM, false}, {unix.EINTR, false},
}

// takes has the next enter that submits take only k, and fail with errno.
func (r *ring) takes(k uint32, errno syscall.Errno) {
	r.enter = func(submit, wait uint32) syscall.Errno {
		if submit == 0 {
			return r.cross(0, wait)
		}
		r.enter = r.cross
		if k > 0 {
			r.cross(k, k)
		}
		return errno
	}
}

// Wherever an enter fails, and however: each entry is run once, in order, and chains
// hold across the place; what is left of it does not run later.
func TestRingRefusedAnywhere(t *testing.T) {
	u, _, sh := openUring(t, Config{})
	defer u.Close()
	d := newDirect(nil, sh)
	tb := newTable(t, sh)
	d.Run(tableSize)
	want := tb.seen(sh)
	tb.close()
	if !strings.HasPrefix(want, "1 1 1 0 2 5 -11 -125 1 0 1 0 ") {
		t.Fatalf("the table is not what it is meant to be: %s", want)
	}
	for _, by := range refusals {
		for k := range uint32(tableSize + 1) {
			t.Run(fmt.Sprintf("%v behind %d", by.errno, k), func(t *testing.T) {
				u.refusable = newRefusable(u.ep, sh)
				tb := newTable(t, sh)
				defer tb.close()
				u.ring.takes(k, by.errno)
				enters := u.ring.enters
				u.Run(tableSize)
				if got := tb.seen(sh); got != want {
					t.Errorf("\n%s, want\n%s", got, want)
				}
				if u.counts.ByCall != d.counts.ByCall {
					t.Errorf("counted %+v, want %+v", u.counts, d.counts)
				}
				if crossed := u.ring.enters - enters + tableSize - uint64(k) - 1; k <= 6 && u.counts.Crossings != crossed {
					t.Errorf("%d crossings, want %d", u.counts.Crossings, crossed) // one is cancelled
				}
				if given := k == 0 && by.forGood; u.refused != given || (u.again > 0) != (k == 0) {
					t.Errorf("refused %v, in want %d times", u.refused, u.again)
				}
				// The numbers have new owners, and the ring is entered again.
				for _, fd := range tb.closed() {
					if err := unix.Dup3(int(tb.near[2]), int(fd), unix.O_CLOEXEC); err != nil {
						t.Fatal(err)
					}
					defer unix.Close(int(fd))
				}
				u.refused = false
				for i := range 2 {
					sh.Entries[i].Send(tb.near[0], unsafe.Pointer(&sh.Arena[i]), 1, 0)
				}
				u.Run(2)
				var got [16]byte
				if n, _ := unix.Read(int(tb.far[0]), got[:]); string(got[:max(n, 0)]) != "ab" {
					t.Errorf("the next table sent %q, want %q", got[:max(n, 0)], "ab")
				}
				for _, fd := range tb.closed() {
					if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
						t.Errorf("descriptor %d was closed twice", fd)
					}
				}
			})
		}
	}
}

// The same for the receives of a harvest.
func TestRingRefusedInTheHarvest(t *testing.T) {
	const ready = 6
	u, ep, sh := openUring(t, Config{Slots: ready})
	defer u.Close()
	var near, far [ready]int32
	for i := range near {
		near[i], far[i] = socketPair(t)
		sh.SetInterest(near[i], 1, HarvestRecv)
		if err := ep.Add(near[i], 1, MaskIn); err != nil {
			t.Fatal(err)
		}
	}
	for _, by := range refusals {
		for k := range uint32(ready + 1) {
			t.Run(fmt.Sprintf("%v behind %d", by.errno, k), func(t *testing.T) {
				u.refusable = newRefusable(ep, sh)
				want := map[int32]string{}
				for i, fd := range far {
					want[near[i]] = fmt.Sprintf("%d of %d", i, k)
					unix.Write(int(fd), []byte(want[near[i]]))
				}
				u.ring.takes(k, by.errno)
				n, err := u.Tick(0)
				if n != ready {
					t.Fatalf("%d events, want %d", n, ready)
				}
				if given := k == 0 && by.forGood; (err != nil) != given || u.refused != given {
					t.Errorf("refused: %v, %v", u.refused, err)
				}
				for _, ev := range sh.Events[:n] {
					if ev.Slot < 0 {
						t.Fatalf("%+v", ev)
					}
					if got := string(sh.Slot(ev.Slot)[:ev.N]); got != want[ev.FD] || ev.Err != 0 {
						t.Errorf("received %q, want %q: %+v", got, want[ev.FD], ev)
					}
					sh.FreeSlot(ev.Slot)
				}
				if u.counts.ByCall[CallRecv] != ready {
					t.Errorf("%d receives are counted", u.counts.ByCall[CallRecv])
				}
			})
		}
	}
}

// A Tick says once that the backend has changed, also if a Run met it, and then the
// ring is left alone.
func TestRingRefusedIsSaidOnce(t *testing.T) {
	for _, in := range []string{"run", "tick"} {
		t.Run(in, func(t *testing.T) {
			u, _, sh := openUring(t, Config{})
			defer u.Close()
			a, _ := socketPair(t)
			enters := 0
			u.ring.enter = func(uint32, uint32) syscall.Errno { enters++; return unix.EPERM }
			sh.Entries[0].Send(a, unsafe.Pointer(&sh.Arena[0]), 1, 0)
			n := 1
			if in == "run" {
				u.Run(1)
				n = 0
			}
			_, err := u.Tick(n)
			if err == nil || err.Error() != "backend uring is refused (io_uring_enter: operation not permitted): backend direct from now on" {
				t.Errorf("%v", err)
			}
			for range 3 {
				if _, err := u.Tick(1); err != nil || sh.Entries[0].Ret != 1 {
					t.Errorf("later: %v, %d", err, sh.Entries[0].Ret)
				}
			}
			if enters != 1 {
				t.Errorf("entered %d times", enters)
			}
		})
	}
}

// A lack passes: the ring is entered again, and nothing is said. If it does not
// pass, it is a refusal.
func TestRingLack(t *testing.T) {
	u, _, sh := openUring(t, Config{})
	defer u.Close()
	a, _ := socketPair(t)
	lacking := true
	u.ring.enter = func(submit, wait uint32) syscall.Errno {
		if lacking {
			return unix.EAGAIN
		}
		return u.ring.cross(submit, wait)
	}
	tick := func() error {
		sh.Entries[0].Send(a, unsafe.Pointer(&sh.Arena[0]), 1, 0)
		_, err := u.Tick(1)
		if sh.Entries[0].Ret != 1 {
			t.Errorf("send: %d", sh.Entries[0].Ret)
		}
		return err
	}
	for range 3 {
		for range againMost {
			if err := tick(); err != nil {
				t.Fatalf("a lack that passes: %v", err)
			}
		}
		lacking = false
		enters := u.ring.enters
		if err := tick(); err != nil || u.ring.enters == enters {
			t.Fatalf("the ring is not entered again: %v", err)
		}
		lacking = true
	}
	for range againMost {
		if err := tick(); err != nil {
			t.Fatalf("given up too early: %v", err)
		}
	}
	if err := tick(); err == nil || !strings.Contains(err.Error(), "direct from now on") {
		t.Errorf("a lack that does not pass: %v", err)
	}
}

// What the kernel has taken it finishes, late and without being asked to, if it has
// to be. A ring of plain memory stands in for one that does so.
func TestRingWaitsForWhatIsTaken(t *testing.T) {
	const n = 4
	for _, errno := range []syscall.Errno{0, unix.EINTR, unix.EPERM} {
		t.Run(fmt.Sprint(errno), func(t *testing.T) {
			var sqHead, sqTail, cqHead, cqTail uint32
			r := &ring{sqes: make([]sqe, n), cqes: make([]cqe, n), sqMask: n - 1, cqMask: n - 1, sqHead: &sqHead, sqTail: &sqTail, cqHead: &cqHead, cqTail: &cqTail}
			var waits atomic.Int32
			finish := func(id int) {
				r.cqes[cqTail] = cqe{userData: uint64(id), res: int32(10 + id)}
				atomic.AddUint32(&cqTail, 1)
			}
			r.enter = func(submit, wait uint32) syscall.Errno {
				if submit > 0 {
					sqHead += submit
					finish(0)
					go func() {
						for waits.Load() < 3 {
							runtime.Gosched()
						}
						for id := 1; id < n; id++ {
							finish(id)
						}
					}()
					return 0
				}
				waits.Add(1)
				return errno
			}
			for id := range n {
				r.next(id)
			}
			got := map[int]int32{}
			taken, err := r.run(func(id int, res int32) { got[id] = res })
			if taken != n || err != nil || len(got) != n {
				t.Fatalf("taken %d, %v, results %v", taken, err, got)
			}
			for id, res := range got {
				if res != int32(10+id) {
					t.Errorf("%d: %d", id, res)
				}
			}
		})
	}
}

// refusedBy, in the environment, has a test use a backend and then come under a
// filter.
const refusedBy = "ESCA_TEST_REFUSED_BY"

// inFiltered runs the test in a process of its own, with by in the environment.
func inFiltered(t *testing.T, name, by string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+name+"$", "-test.v", "-test.count=1", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), refusedBy+"="+by)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: ")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// A filter that comes while the ring is used, for all threads, as a sandbox's does.
func TestRingRefusedByAFilter(t *testing.T) {
	u, ep, sh := openUring(t, Config{}) // or skip
	defer u.Close()
	if by := os.Getenv(refusedBy); by != "" {
		errno, err := strconv.Atoi(by)
		if err != nil {
			t.Fatal(err)
		}
		underFilter(t, u, ep, sh, func() error {
			if u.counts.Crossings > 3*4 {
				return fmt.Errorf("%d crossings: the ring is not used", u.counts.Crossings)
			}
			return deny(unix.SYS_IO_URING_ENTER, unix.Errno(errno))
		}, "backend uring is refused (io_uring_enter")
		return
	}
	for _, by := range refusals {
		t.Run(fmt.Sprint(by.errno), func(t *testing.T) { inFiltered(t, "TestRingRefusedByAFilter", strconv.Itoa(int(by.errno))) })
	}
}

// underFilter has b run tables, under the filter from the fourth on, which is to be
// said once and change nothing else.
func underFilter(t *testing.T, b Backend, ep *Epoll, sh *Shared, filter func() error, says string) {
	d := newDirect(nil, sh)
	tb := newTable(t, sh)
	d.Run(tableSize)
	want := tb.seen(sh)
	tb.close()

	near, far := socketPair(t)
	sh.SetInterest(near, 1, HarvestRecv)
	if err := ep.Add(near, 1, MaskIn); err != nil {
		t.Fatal(err)
	}
	said := 0
	for round := range 20 {
		if round == 3 {
			if err := filter(); err != nil {
				t.Fatal(err)
			}
		}
		tb := newTable(t, sh)
		unix.Write(int(far), []byte("x"))
		n, err := b.Tick(tableSize)
		if err != nil {
			if said++; round < 3 || !strings.HasPrefix(err.Error(), says) {
				t.Errorf("round %d: %v", round, err)
			}
		}
		if n != 1 || sh.Events[0].FD != near || sh.Events[0].N != 1 || sh.Events[0].Err != 0 {
			t.Fatalf("round %d: %d events: %+v", round, n, sh.Events[0])
		}
		sh.FreeSlot(sh.Events[0].Slot)
		if got := tb.seen(sh); got != want {
			t.Errorf("round %d:\n%s, want\n%s", round, got, want)
		}
		tb.close()
	}
	if said != 1 {
		t.Errorf("it was said %d times", said)
	}
}
