//go:build linux && (amd64 || arm64)

package conn_test

import (
	"context"
	"net"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
)

// tkListen listens on addr with options of the socket, as fasthttp's reuseport and
// tcplisten do.
func tkListen(t *testing.T, addr string, set ...[3]int) net.Listener {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) (err error) {
		rc.Control(func(fd uintptr) {
			for _, o := range set {
				err = unix.SetsockoptInt(int(fd), o[0], o[1], o[2])
			}
		})
		return err
	}}
	ln, err := lc.Listen(context.Background(), "tcp4", addr)
	sfMust(t, err)
	return ln
}

// TestListenersOfOnePort takes over as many listeners of a port as there are
// processors, and more: all together they have few more loops than that.
func TestListenersOfOnePort(t *testing.T) {
	many := min(runtime.GOMAXPROCS(0), runtime.NumCPU())
	if many < 2 {
		t.Skip("a single processor has a single loop in any case")
	}
	shared := [3]int{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1}
	var lns []*conn.Listener
	take := func(inner net.Listener, want int, opts ...conn.Option) {
		t.Helper()
		ln, err := conn.FromListener(inner, opts...)
		sfMust(t, err)
		if ln.Loops() != want {
			t.Errorf("listener %d has %d loops, want %d", len(lns), ln.Loops(), want)
		}
		lns = append(lns, ln)
	}
	first := tkListen(t, "127.0.0.1:0", shared)
	addr := first.Addr().String()
	take(first, many)
	take(tkListen(t, addr, shared), 1)
	take(tkListen(t, addr, shared), 1)
	take(tkListen(t, addr, shared), 3, conn.WithLoops(3))
	take(tkListen(t, "127.0.0.1:0", shared), many)
	take(tkListen(t, "127.0.0.1:0"), many)
	for _, ln := range lns {
		sfEchoes(ln)
	}
	for range 20 {
		c := sfDial(t, lns[0])
		sfEcho(t, c, "whichever it is of")
		c.Close()
	}
	for _, ln := range lns {
		sfEnds(t, ln)
	}
	lns = nil
	take(tkListen(t, addr, shared), many)
	sfEnds(t, lns[0])
}

// TestTakenSocketKeepsItsOptions looks at a socket's own options after it was taken
// over: those that its owner has chosen are his.
func TestTakenSocketKeepsItsOptions(t *testing.T) {
	const backlog = 17
	inner := tkListen(t, "127.0.0.1:0", [3]int{unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 3},
		[3]int{unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 5}, [3]int{unix.SOL_SOCKET, unix.SO_RCVBUF, 40000})
	rc, err := inner.(*net.TCPListener).SyscallConn()
	sfMust(t, err)
	look := func(ln syscall.RawConn) (got [4]int) {
		sfMust(t, ln.Control(func(fd uintptr) {
			got[0], _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT)
			got[1], _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN)
			got[2], _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
			info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			sfMust(t, err)
			got[3] = int(info.Sacked) // of a listening socket, its backlog
		}))
		return got
	}
	sfMust(t, rc.Control(func(fd uintptr) { err = unix.Listen(int(fd), backlog) }))
	sfMust(t, err)
	before := look(rc)
	if before[3] != backlog {
		t.Fatalf("the backlog is %d, want %d", before[3], backlog)
	}
	ln, err := conn.FromListener(inner, conn.WithKeepAlive(1e9))
	sfMust(t, err)
	defer sfEnds(t, ln)
	f, err := ln.File()
	sfMust(t, err)
	defer f.Close()
	rc, err = f.SyscallConn()
	sfMust(t, err)
	if after := look(rc); after != before {
		t.Errorf("deferred accept, fast open, receive buffer and backlog are %v, and were %v", after, before)
	}
}
