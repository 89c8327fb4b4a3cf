//go:build linux && (amd64 || arm64)

package conn_test

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
