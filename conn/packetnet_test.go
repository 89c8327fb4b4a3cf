//go:build linux && (amd64 || arm64)

package conn_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
)

// What needs a network of its own is run by this test, in another process: one whose
// loopback is narrow, and has a link-local address.
func TestPacketsInANamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a network namespace needs root")
	}
	tests := []string{"TestPacketsOnANarrowPath", "TestPacketsThatMayNotBeFragmented", "TestPacketsOversize", "TestPacketScopes"}
	out := alone(t, "ESCA_TEST_NAMESPACE=1", &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}, tests...)
	for _, name := range tests {
		if !strings.Contains(out, "--- PASS: "+name) {
			t.Errorf("%s has not passed:\n%s", name, out)
		}
	}
}

// onOneProcessor has what f starts run there. The kernel keeps the order of what goes by
// loopback for each processor only: where the first fragments take long, as in a guest, and
// the sender moves on meanwhile, they are overtaken (seen with package net alone).
func onOneProcessor(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	defer unix.SchedSetaffinity(0, &all)
	f()
}

// alone runs tests in a process of its own on one processor, where env is set, and returns
// what it has printed.
func alone(t *testing.T, env string, attr *syscall.SysProcAttr, tests ...string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.v", "-test.timeout=10m", "-test.run=^("+strings.Join(tests, "|")+")$")
	cmd.Env = append(os.Environ(), env)
	cmd.SysProcAttr = attr
	var out []byte
	var err error
	onOneProcessor(t, func() { out, err = cmd.CombinedOutput() })
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// ordered has a test that compares the order of datagrams run alone, and is true there.
func ordered(t *testing.T) bool {
	t.Helper()
	if os.Getenv("ESCA_TEST_ORDERED") != "" {
		return true
	}
	switch out := alone(t, "ESCA_TEST_ORDERED=1", nil, t.Name()); {
	case strings.Contains(out, "--- SKIP: "+t.Name()+" ("):
		t.Skip(out)
	case !strings.Contains(out, "--- PASS: "+t.Name()+" ("):
		t.Errorf("it has not passed:\n%s", out)
	}
	return false
}

// inNamespace sets the network of the process up, if it is one of its own.
func inNamespace(t *testing.T) {
	t.Helper()
	if os.Getenv("ESCA_TEST_NAMESPACE") == "" {
		t.Skip("is run by TestPacketsInANamespace")
	}
	if n := runtime.NumCPU(); n != 1 {
		t.Fatalf("it is run on %d processors, want one", n)
	}
	namespace.Do(func() {
		s, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(s)
		for request, v := range map[uint]uint32{unix.SIOCSIFMTU: 1280, unix.SIOCSIFFLAGS: unix.IFF_UP | unix.IFF_LOOPBACK} {
			lo, _ := unix.NewIfreq("lo")
			if request == unix.SIOCSIFFLAGS {
				lo.SetUint16(uint16(v))
			} else {
				lo.SetUint32(v)
			}
			if err := unix.IoctlIfreq(s, request, lo); err != nil {
				t.Fatalf("ioctl %#x of lo: %v", request, err)
			}
		}
		add := struct { // struct in6_ifreq
			ip     [16]byte
			prefix uint32
			ifi    int32
		}{[16]byte{0: 0xfe, 1: 0x80, 15: 0x27}, 64, 1}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCSIFADDR, uintptr(unsafe.Pointer(&add))); errno != 0 {
			t.Fatalf("an address of lo: %v", errno)
		}
		waitUntil(t, "the kernel has made the address its own", func() bool { // it does so later
			c, err := net.ListenPacket("udp6", "[fe80::27%lo]:0")
			if err != nil {
				return false
			}
			defer c.Close()
			c.WriteTo([]byte("x"), c.LocalAddr())
			c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			_, _, err = c.ReadFrom(make([]byte, 1))
			return err == nil
		})
	})
}

var namespace sync.Once

// Datagrams for one peer that are of one size, but too long for the way there to leave
// together, leave one by one, and arrive, in order.
func TestPacketsOnANarrowPath(t *testing.T) {
	inNamespace(t)
	for _, at := range []struct{ network, addr string }{{"udp4", "127.0.0.1:0"}, {"udp6", "[::1]:0"}} {
		sizes := []int{1200, 1200, 1200, 1400, 1400, 1400, 1400, 100, 100, 1300, 1300, 5}
		ln := servePackets(t, at.network, at.addr, conn.PacketHandlerFunc(func(p *conn.Packets) {
			for p.Next() {
				for i, n := range sizes {
					p.Reply(bytes.Repeat([]byte{byte(i)}, n))
				}
			}
		}), conn.WithLoops(1))
		c := dialPackets(t, ln.LocalAddr())
		for range 5 {
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			for i, n := range sizes {
				got := make([]byte, 2000)
				m, err := c.Read(got)
				if err != nil || !bytes.Equal(got[:m], bytes.Repeat([]byte{byte(i)}, n)) {
					t.Fatalf("%s, %d: %d bytes of %d, %v (%+v); %s", at.network, i, m, n, err, ln.Stats(), whatElse(c, got[:m]))
				}
			}
		}
		waitUntil(t, "all are counted", func() bool { return ln.Stats().PacketsOut == uint64(5*len(sizes)) })
		if s := ln.Stats(); s.PacketsDropped != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// whatElse tells what a datagram was that should not have come, what comes behind it,
// and what the kernel has counted: whether another was lost, or overtaken.
func whatElse(c net.Conn, got []byte) string {
	what, b := fmt.Sprintf("it begins %.1x;", got), make([]byte, 1<<16)
	for {
		c.SetReadDeadline(time.Now().Add(time.Second))
		n, err := c.Read(b)
		if err != nil {
			break
		}
		what += fmt.Sprintf(" %d bytes of %x;", n, b[0])
	}
	for _, name := range []string{"snmp", "snmp6"} {
		b, _ := os.ReadFile("/proc/thread-self/net/" + name)
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, "Reasm") || strings.HasPrefix(line, "Ip:") || strings.HasPrefix(line, "Udp") {
				what += "\n" + strings.TrimSpace(line)
			}
		}
	}
	return what
}

// What is longer than the way allows, and may not be fragmented, is an error for who
// waits for it, and is counted for who does not; what is behind it leaves.
func TestPacketsThatMayNotBeFragmented(t *testing.T) {
	inNamespace(t)
	whole := conn.WithControl(func(_, _ string, rc syscall.RawConn) (err error) {
		cerr := rc.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
		})
		return errors.Join(cerr, err)
	})
	ln := servePackets(t, "udp4", "127.0.0.1:0", conn.PacketHandlerFunc(func(p *conn.Packets) {
		for p.Next() {
			p.Reply(make([]byte, 1000))
			p.Reply(make([]byte, 1400))
			p.Reply(make([]byte, 1400))
			p.Reply(make([]byte, 1001))
		}
	}), conn.WithLoops(1), whole)
	c := dialPackets(t, ln.LocalAddr())
	for i := range 5 {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		for _, want := range []int{1000, 1001} {
			if n, err := c.Read(make([]byte, 2000)); n != want || err != nil {
				t.Fatalf("%d: %d bytes, %v; want %d (%+v)", i, n, err, want, ln.Stats())
			}
		}
	}
	waitUntil(t, "all are counted", func() bool { s := ln.Stats(); return s.PacketsOut == 10 && s.PacketsDropped == 10 })

	pc, err := conn.ListenPacket("udp4", "127.0.0.1:0", whole)
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	if _, err := pc.WriteTo(make([]byte, 1400), c.LocalAddr()); !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("WriteTo: %v", err)
	}
	for _, tt := range []struct {
		sizes []int
		n     int
		err   error
	}{
		{[]int{100, 1400, 100}, 1, nil}, {[]int{1400, 100}, 0, unix.EMSGSIZE}, {[]int{100, 200}, 2, nil},
	} {
		var ms []conn.Message
		for _, n := range tt.sizes {
			ms = append(ms, conn.Message{Buffers: [][]byte{make([]byte, n)}, Addr: c.LocalAddr()})
		}
		if n, err := pc.WriteBatch(ms, 0); n != tt.n || !errors.Is(err, tt.err) {
			t.Errorf("WriteBatch of %v: %d, %v", tt.sizes, n, err)
		}
	}
}

// The longest datagram there is leaves, and what is longer is refused, at once and
// alone.
func TestPacketsOversize(t *testing.T) {
	inNamespace(t)
	for _, at := range []struct {
		network, addr string
		most          int
	}{{"udp4", "127.0.0.1:0", 65507}, {"udp6", "[::1]:0", 65527}} {
		refused := make(chan bool, 2)
		ln := servePackets(t, at.network, at.addr, conn.PacketHandlerFunc(func(p *conn.Packets) {
			for p.Next() {
				p.Reply([]byte("before"))
				refused <- !p.Reply(make([]byte, at.most+1))
				refused <- !p.Reply(make([]byte, at.most))
				p.Reply([]byte("behind"))
			}
		}), conn.WithLoops(1))
		c := dialPackets(t, ln.LocalAddr())
		c.Write([]byte("x"))
		for _, want := range []int{6, at.most, 6} {
			if n, err := c.Read(make([]byte, 1<<16)); n != want || err != nil {
				t.Fatalf("%s: %d bytes, %v; want %d (%+v); %s", at.network, n, err, want, ln.Stats(), whatElse(c, nil))
			}
		}
		if a, b := <-refused, <-refused; !a || b {
			t.Errorf("%s: refused %v, %v", at.network, a, b)
		}
		waitUntil(t, "all are counted", func() bool { s := ln.Stats(); return s.PacketsOut == 3 && s.PacketsDropped == 1 })
		if _, err := ln.WriteTo(make([]byte, at.most+1), c.LocalAddr()); !errors.Is(err, unix.EMSGSIZE) {
			t.Errorf("%s: WriteTo: %v", at.network, err)
		}
	}
}

// A datagram that is longer than a message has room for, which only unix has, is cut,
// and says so; the next is whole.
func TestPacketsTruncated(t *testing.T) {
	ln := servePackets(t, "unixgram", filepath.Join(t.TempDir(), "s"), conn.PacketHandlerFunc(func(p *conn.Packets) {
		for p.Next() {
			p.Reply(fmt.Appendf(nil, "%d %v", len(p.Data()), p.Truncated()))
		}
	}), conn.WithLoops(1))
	c := dialPackets(t, ln.LocalAddr())
	for _, n := range []int{65536, 65537, 100_000, 3} {
		if _, err := c.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 100)
		m, err := c.Read(got)
		if want := fmt.Sprintf("%d %v", min(n, 65536), n > 65536); err != nil || string(got[:m]) != want {
			t.Errorf("of %d: %q, %v; want %q", n, got[:m], err, want)
		}
	}
}

// That peers have gone, which a socket may ask to hear of, is neither the end of a
// server nor of what it has for others.
func TestPacketsToPeersThatHaveGone(t *testing.T) {
	hear := conn.WithControl(func(_, _ string, rc syscall.RawConn) (err error) {
		cerr := rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1) })
		return errors.Join(cerr, err)
	})
	gone, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	nobody := gone.LocalAddr().(*net.UDPAddr).AddrPort()
	gone.Close()
	ln := servePackets(t, "udp4", "127.0.0.1:0", conn.PacketHandlerFunc(func(p *conn.Packets) {
		for p.Next() {
			for range 3 {
				p.Send([]byte("is anybody there"), nobody, nil)
			}
			p.Reply(p.Data())
			p.Send([]byte("is anybody there"), nobody, nil)
		}
	}), conn.WithLoops(1), hear)
	c := dialPackets(t, ln.LocalAddr())
	for i := range 50 {
		if _, err := c.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 8)
		if n, err := c.Read(got); err != nil || n != 1 || got[0] != byte(i) {
			t.Fatalf("%d: %v, %v (%+v)", i, got[:n], err, ln.Stats())
		}
	}
}
