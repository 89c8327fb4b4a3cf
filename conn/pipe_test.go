//go:build linux && (amd64 || arm64)

package conn_test

import (
	"net"
	"testing"

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
