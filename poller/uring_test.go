//go:build linux

package poller

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openUring returns a backend that has even a single operation done by the ring.
func openUring(t testing.TB, c Config) (*uring, *Epoll, *Shared) {
	t.Helper()
	if p := (uringFactory{}).Probe(); p.Status != Available {
		if strings.Contains(","+os.Getenv("ESCA_REQUIRE")+",", ",uring,") {
			t.Fatal(p)
		}
		t.Skip(p)
	}
	ep := newEpoll(t)
	sh, err := NewShared(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sh.Unmap() })
	be, err := uringFactory{}.Open(ep, sh)
	if err != nil {
		t.Fatal(err)
	}
	u := be.(*uring)
	u.pays = 1
	return u, ep, sh
}

// socketPair returns two ends that do not wait.
func socketPair(t testing.TB) (a, b int32) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
	return int32(p[0]), int32(p[1])
}

// What would wait does not: a whole table of receives of nothing and of sends to
// sockets that are full comes back at once, and nothing of it is left behind that
// would take bytes, or keep a socket open, after the backend is closed.
func TestRingLeavesNothingBehind(t *testing.T) {
	u, _, sh := openUring(t, Config{})
	n := len(sh.Entries)
	fulls, empties := make([]int32, n/2), make([]int32, n/2)
	peers := make([]int32, n/2)
	chunk := make([]byte, 64<<10)
	for i := range fulls {
		fulls[i], _ = socketPair(t)
		for {
			if _, err := unix.Write(int(fulls[i]), chunk); err != nil {
				break
			}
		}
		empties[i], peers[i] = socketPair(t)
	}
	for round := range 3 {
		for i := range fulls {
			sh.Entries[2*i].Send(fulls[i], unsafe.Pointer(&sh.Arena[0]), 10_000, 0)
			sh.Entries[2*i+1].Recv(empties[i], unsafe.Pointer(&sh.Arena[0]), 100)
		}
		enters := u.counts.Crossings
		u.Run(n)
		if got := u.counts.Crossings - enters; got != 1 {
			t.Errorf("round %d: %d crossings for the table, want 1", round, got)
		}
		for i := range n {
			if ret := sh.Entries[i].Ret; ret != -int64(unix.EAGAIN) {
				t.Fatalf("round %d, entry %d: %d, want EAGAIN", round, i, ret)
			}
		}
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	for i, peer := range peers {
		unix.Write(int(peer), []byte("later"))
		got := make([]byte, 10)
		if k, err := unix.Read(int(empties[i]), got); err != nil || string(got[:k]) != "later" {
			t.Fatalf("%q, %v: a receive was left behind", got[:k], err)
		}
		unix.Shutdown(int(empties[i]), unix.SHUT_RDWR)
		if k, err := unix.Read(int(peer), got); k != 0 || err != nil {
			t.Fatalf("%d, %v: the socket is not at its end", k, err)
		}
	}
}

// Every result is there, whatever the size of the table; what is larger than any
// ring says so.
func TestRingTakesLargeTables(t *testing.T) {
	for _, entries := range []int{4, 256, 4096, 32768} {
		u, _, sh := openUring(t, Config{Entries: entries})
		for round := range 2 {
			for i := range entries {
				sh.Entries[i].Send(-1, unsafe.Pointer(&sh.Arena[0]), 1, 0)
			}
			u.Run(entries)
			for i := range entries {
				if sh.Entries[i].Ret != -int64(unix.EBADF) {
					t.Fatalf("%d entries, round %d: entry %d is %d", entries, round, i, sh.Entries[i].Ret)
				}
			}
		}
		u.Close()
	}
	if r, err := openRing(1 << 20); err == nil {
		r.close()
		t.Error("a ring of a million entries")
	} else if !strings.Contains(err.Error(), "the table has 1048576") {
		t.Error(err)
	}
}

// Where io_uring is not to be had the probe says why, and auto goes on with the
// next backend.
func TestUringSaysWhy(t *testing.T) {
	disabled := t.TempDir() + "/disabled"
	if err := os.WriteFile(disabled, []byte("2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name     string
		call     int // that the filter denies; 0: io_uring_setup
		errno    unix.Errno
		disabled string
		status   Status
		why      string
	}{
		{"no io_uring in the kernel", 0, unix.ENOSYS, "", Unavailable, "this kernel has no io_uring"},
		{"a container's seccomp filter", 0, unix.EPERM, "", Unavailable, "a seccomp filter forbids io_uring"},
		{"a filter that lets a ring be made", unix.SYS_IO_URING_ENTER, unix.EPERM, "", Unavailable, "a seccomp filter forbids io_uring"},
		{"a ring that does nothing", unix.SYS_IO_URING_ENTER, 0, "", Unavailable, "io_uring_enter does nothing"},
		{"no memory just now", unix.SYS_IO_URING_ENTER, unix.EAGAIN, "", Inconclusive, "io_uring_enter: resource temporarily unavailable"},
		{"the sysctl", 0, unix.EPERM, disabled, Unavailable, "kernel.io_uring_disabled=2"},
		{"RLIMIT_MEMLOCK", 0, unix.ENOMEM, "", Unavailable, "RLIMIT_MEMLOCK"},
		{"out of descriptors", 0, unix.EMFILE, "", Inconclusive, "too many open files"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.disabled != "" {
				if os.Geteuid() != 0 {
					t.Skip("a mount namespace needs root")
				}
				if _, err := os.Stat(disabledSysctl); err != nil {
					t.Skipf("this kernel, older than 6.6, has no such switch: %v", err)
				}
			}
			cmd := exec.Command(os.Args[0])
			if tc.call == 0 {
				tc.call = unix.SYS_IO_URING_SETUP
			}
			cmd.Env = append(os.Environ(), deniedCall+"="+strconv.Itoa(tc.call), deniedBy+"="+strconv.Itoa(int(tc.errno)), deniedFile+"="+tc.disabled, "ESCA_BACKEND=")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			line := strings.Split(string(out), "\n")
			if !strings.Contains(line[0], tc.why) || line[1] != tc.status.String() {
				t.Errorf("the probe says %q, want %q", out, tc.why)
			}
			if !strings.HasPrefix(line[2], "direct: ") && !strings.HasPrefix(line[2], "kmod: ") || !strings.Contains(line[2], tc.why) {
				t.Errorf("auto says %q, and not %q", line[2], tc.why)
			}
		})
	}
}

// BenchmarkBatch is from which batch on a ring pays: ns an operation, one of a
// send and its receive, by direct calls and by the ring.
func BenchmarkBatch(b *testing.B) {
	for _, network := range []string{"unix", "tcp"} {
		for _, batch := range []int{1, 2, 3, 4, 8, 16, 64} {
			for _, ring := range []bool{false, true} {
				name := map[bool]string{false: "direct", true: "ring"}[ring]
				b.Run(fmt.Sprintf("%s/%d/%s", network, batch, name), func(b *testing.B) {
					u, _, sh := openUring(b, Config{})
					defer u.Close()
					if !ring {
						u.pays = 1 << 30
					}
					from, to := make([]int32, batch), make([]int32, batch)
					for i := range batch {
						from[i], to[i] = connected(b, network)
					}
					for b.Loop() {
						for i := range batch {
							sh.Entries[i].Send(from[i], unsafe.Pointer(&sh.Arena[0]), 150, 0)
						}
						u.Run(batch)
						for i := range batch {
							sh.Entries[i].Recv(to[i], unsafe.Pointer(&sh.Arena[1024]), 200)
						}
						u.Run(batch)
						if sh.Entries[batch-1].Ret != 150 {
							b.Fatal(sh.Entries[batch-1].Ret)
						}
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*batch*b.N), "ns/call")
				})
			}
		}
	}
}

// connected returns two ends of a connection.
func connected(b *testing.B, network string) (from, to int32) {
	if network == "unix" {
		return socketPair(b)
	}
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(err)
	defer unix.Close(l)
	must(unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(unix.Listen(l, 1))
	sa, err := unix.Getsockname(l)
	must(err)
	c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(err)
	must(unix.Connect(c, sa))
	a, _, err := unix.Accept(l)
	must(err)
	for _, fd := range []int{a, c} {
		must(unix.SetNonblock(fd, true))
		must(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
		b.Cleanup(func() { unix.Close(fd) })
	}
	return int32(c), int32(a)
}
