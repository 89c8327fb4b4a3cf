package poller

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// standInKmod is a backend over a module that stops before entry stop of the first
// table, because a signal is pending, and from then on answers as answer says.
func standInKmod(t *testing.T, stop int, answer func() (int, syscall.Errno)) (*kmod, *Shared) {
	t.Helper()
	ep := newEpoll(t)
	sh := newShared(t, Config{})
	k := &kmod{refusable: newRefusable(ep, sh), noTime: new(unix.Timespec)}
	module := newDirect(ep, sh)
	run := func(first, end int) (int, syscall.Errno) {
		entries := sh.all[:end]
		if last := &sh.all[end-1]; last.Flags&entryWait != 0 {
			entries = entries[:end-1]
			defer func() {
				before := module.counts
				m, _ := module.look()
				last.Ret = int64(m)
				sh.ctl.ready = uint32(m)
				sh.ctl.recvs = uint32(module.counts.ByCall[CallRecv] - before.ByCall[CallRecv])
				sh.ctl.accepts = 0
			}()
		}
		chainFrom(entries, first, execute)
		return end - first, 0
	}
	k.ioctl = func(first, n int, _ bool) (int, syscall.Errno) {
		k.counts.Crossings++
		switch {
		case first < stop:
			return run(first, min(stop, first+n))
		case answer != nil:
			if ran, errno := answer(); ran >= 0 {
				return ran, errno
			}
		}
		return run(first, first+n)
	}
	return k, sh
}

// always is a module that answers like that.
func always(errno syscall.Errno) func() (int, syscall.Errno) {
	return func() (int, syscall.Errno) { return 0, errno }
}

// Wherever a module refuses to go on: each entry is run once, in order, chains hold
// across the place, and a Tick looks and harvests all the same.
func TestKmodRefusedAnywhere(t *testing.T) {
	d := newDirect(nil, newShared(t, Config{}))
	tb := newTable(t, d.sh)
	d.Run(tableSize)
	want := tb.seen(d.sh)
	tb.close()
	for _, by := range []struct {
		errno   syscall.Errno // 0: it runs nothing
		forGood string        // what a Tick says then
	}{
		{unix.EPERM, "come under seccomp"}, {unix.ENOTTY, "inappropriate ioctl"}, {0, "the module runs nothing"},
		{unix.EBUSY, ""}, {unix.ENOMEM, ""},
	} {
		for stop := range tableSize + 1 {
			t.Run(fmt.Sprintf("%v before %d", by.errno, stop), func(t *testing.T) {
				k, sh := standInKmod(t, stop, always(by.errno))
				near, far := socketPair(t)
				sh.SetInterest(near, 1, HarvestRecv)
				if err := k.ep.Add(near, 1, MaskIn); err != nil {
					t.Fatal(err)
				}
				unix.Write(int(far), []byte("x"))
				tb := newTable(t, sh)
				defer tb.close()
				n, err := k.Tick(tableSize)
				if (err != nil) != (by.forGood != "") || k.refused != (by.forGood != "") {
					t.Errorf("refused %v: %v", k.refused, err)
				}
				if err != nil && (!strings.HasPrefix(err.Error(), "backend kmod is refused (") || !strings.Contains(err.Error(), by.forGood)) {
					t.Errorf("%v does not say that %q", err, by.forGood)
				}
				if got := tb.seen(sh); got != want {
					t.Errorf("\n%s, want\n%s", got, want)
				}
				if n != 1 || sh.Events[0].FD != near || sh.Events[0].N != 1 {
					t.Errorf("%d events: %+v", n, sh.Events[0])
				}
				calls := d.counts.ByCall
				calls[CallEpollWait]++
				calls[CallRecv]++
				if k.counts.ByCall != calls || k.counts.Ticks != 1 {
					t.Errorf("counted %+v, want %v", k.counts, calls)
				}
			})
		}
	}
}

// A signal that comes before each entry slows a table down, and nothing else; nor
// does a module that has to go back once before it looks.
func TestKmodInterrupted(t *testing.T) {
	k, sh := standInKmod(t, 0, nil)
	run, back := k.ioctl, false
	k.ioctl = func(first, n int, announced bool) (int, syscall.Errno) {
		if back = !back; back {
			return 0, 0
		}
		return run(first, 1, announced)
	}
	for range 3 {
		for i := range 8 {
			sh.Entries[i] = Entry{NR: Nop, Ret: 1}
		}
		if n, err := k.Tick(4); n != 0 || err != nil || k.refused {
			t.Fatalf("Tick = %d, %v", n, err)
		}
		for i := range 8 { // what is behind the fourth is left as it was
			if ret := sh.all[i].Ret; (ret == 0) != (i < 4) {
				t.Errorf("entry %d: %d", i, ret)
			}
		}
	}
}

// A Run that is refused is said by the next Tick, once, and the module is not asked
// again.
func TestKmodRefusedIsSaidOnce(t *testing.T) {
	k, sh := standInKmod(t, 0, always(unix.EPERM))
	a, _ := socketPair(t)
	sh.Entries[0].Send(a, unsafe.Pointer(&sh.Arena[0]), 1, 0)
	k.Run(1)
	k.ioctl = func(int, int, bool) (int, syscall.Errno) {
		t.Error("asked again")
		return 0, unix.EPERM
	}
	for i := range 3 {
		_, err := k.Tick(1)
		if (err != nil) != (i == 0) || sh.Entries[0].Ret != 1 {
			t.Errorf("Tick %d: %v, %d", i, err, sh.Entries[0].Ret)
		}
	}
	if k.counts.ByCall[CallSend] != 4 || k.counts.Ticks != 3 {
		t.Errorf("counted %+v", k.counts)
	}
}

// A lack passes, and the module is asked again; one that does not is a refusal.
func TestKmodLack(t *testing.T) {
	var errno syscall.Errno
	k, _ := standInKmod(t, 0, func() (int, syscall.Errno) {
		if errno != 0 {
			return 0, errno
		}
		return -1, 0
	})
	for range 3 {
		errno = unix.EBUSY
		for range againMost {
			if _, err := k.Tick(0); err != nil {
				t.Fatalf("given up too early: %v", err)
			}
		}
		errno = 0
		if _, err := k.Tick(0); err != nil || k.refused {
			t.Fatal(err)
		}
	}
	errno = unix.EBUSY
	for range againMost {
		k.Tick(0)
	}
	if _, err := k.Tick(0); err == nil || !strings.Contains(err.Error(), "direct from now on") {
		t.Errorf("a lack that does not pass: %v", err)
	}
}

// A wait that has not looked, whatever it says of it, must not pass for one that has
// found nothing: who sees nothing parks.
func TestKmodLooksInVain(t *testing.T) {
	k, sh := standInKmod(t, 0, nil)
	near, far := socketPair(t)
	sh.SetInterest(near, 1, HarvestRecv)
	if err := k.ep.Add(near, 1, MaskIn); err != nil {
		t.Fatal(err)
	}
	unix.Write(int(far), []byte("x"))
	k.ioctl = func(first, n int, _ bool) (int, syscall.Errno) {
		sh.all[first+n-1].Ret = -int64(unix.EINTR)
		return n, 0
	}
	if n, err := k.Tick(0); n != 1 || err != nil || sh.Events[0].N != 1 {
		t.Errorf("Tick = %d, %v: %+v", n, err, sh.Events[0])
	}
}

// A Tick without a table leaves the results of a Run before it where they are.
func TestKmodTicksAfterRun(t *testing.T) {
	k, sh := standInKmod(t, 0, nil)
	near, far := socketPair(t)
	text := []byte("abc")
	sh.Entries[0].Send(near, unsafe.Pointer(&text[0]), 1, 0)
	sh.Entries[1].Send(near, unsafe.Pointer(&text[1]), 2, 0)
	k.Run(2)
	if m, err := k.Tick(0); m != 0 || err != nil {
		t.Fatalf("Tick = %d, %v", m, err)
	}
	for i, want := range []int64{1, 2} {
		if e := &sh.Entries[i]; e.NR != unix.SYS_SENDTO || e.Ret != want {
			t.Errorf("entry %d is call %d with result %d, want %d with %d", i, e.NR, e.Ret, unix.SYS_SENDTO, want)
		}
	}
	if n, _ := unix.Read(int(far), make([]byte, 8)); n != 3 {
		t.Errorf("%d bytes have arrived, want 3", n)
	}
}

// Any filter, even of a call that no table holds, sends kmod to direct calls.
func TestKmodRefusedByAFilter(t *testing.T) {
	if p := (kmodFactory{}).Probe(); p.Status != Available {
		if strings.Contains(","+os.Getenv("ESCA_REQUIRE")+",", ",kmod,") {
			t.Fatal(p)
		}
		t.Skip(p)
	}
	if os.Getenv(refusedBy) == "" {
		inFiltered(t, "TestKmodRefusedByAFilter", "a filter")
		return
	}
	ep := newEpoll(t)
	sh := newShared(t, Config{})
	b, err := kmodFactory{}.Open(ep, sh)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	underFilter(t, b, ep, sh, func() error {
		if n := b.Counts().Crossings; n > 3*2 {
			return fmt.Errorf("%d crossings: the module is not used", n)
		}
		return deny(unix.SYS_GETPPID, unix.EPERM)
	}, "backend kmod is refused (the process has come under seccomp")
}
