//go:build linux && (amd64 || arm64)

// Package nettest_test runs golang.org/x/net/nettest over connections of conn, in a
// module of its own so that conn's users need not have x/net.
package nettest_test

import (
	"net"
	"runtime"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/escahttp/esca/conn"
)

// pipe connects a connection that a loop has accepted with a peer: a
// *net.TCPConn, or that taken onto a loop as well.
func pipe(t testing.TB, ln *conn.Listener, adopt bool) (c1, c2 net.Conn) {
	t.Helper()
	peer, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c1, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if !adopt {
		return c1, peer
	}
	c2, err = ln.Adopt(peer)
	if err != nil {
		t.Fatal(err)
	}
	return c1, c2
}

func listen(t testing.TB, network, addr string, opts ...conn.Option) *conn.Listener {
	t.Helper()
	ln, err := conn.Listen(network, addr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func TestConnIsANetConn(t *testing.T) {
	for _, procs := range []int{1, 2, 4} {
		for _, tt := range []struct {
			name, network, addr string
			adopt               bool
		}{
			{"tcp, peer of package net", "tcp", "127.0.0.1:0", false},
			{"tcp, both on loops", "tcp", "127.0.0.1:0", true},
			{"unix, peer of package net", "unix", "", false},
			{"unix, both on loops", "unix", "", true},
		} {
			t.Run(tt.name, func(t *testing.T) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				addr := tt.addr
				if tt.network == "unix" {
					addr = t.TempDir() + "/s"
				}
				ln := listen(t, tt.network, addr)
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					c1, c2 = pipe(t, ln, tt.adopt)
					return c1, c2, func() { c1.Close(); c2.Close() }, nil
				})
				ln.Close()
				ln.Wait()
			})
		}
	}
}

func TestDialledIsANetConn(t *testing.T) {
	for _, procs := range []int{1, 2, 4} {
		for _, tt := range []struct {
			name, network string
			own           bool // on the listener's loops
		}{
			{"tcp, the listener's loops", "tcp", true},
			{"tcp, loops in common", "tcp", false},
			{"unix, the listener's loops", "unix", true},
			{"unix, loops in common", "unix", false},
		} {
			t.Run(tt.name, func(t *testing.T) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				addr := "127.0.0.1:0"
				if tt.network == "unix" {
					addr = t.TempDir() + "/s"
				}
				ln := listen(t, tt.network, addr)
				var d conn.Dialer
				if tt.own {
					d.Listener = ln
				}
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					c2, err = d.Dial(tt.network, ln.Addr().String())
					if err != nil {
						return nil, nil, nil, err
					}
					c1, err = ln.Accept()
					return c1, c2, func() { c1.Close(); c2.Close() }, err
				})
				ln.Close()
				ln.Wait()
			})
		}
	}
}
