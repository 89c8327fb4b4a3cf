//go:build !race && linux && (amd64 || arm64)

package conn_test

import (
	"testing"

	"github.com/escahttp/esca/conn"
)

// A datagram that is served and answered allocates nothing.
func TestPacketsAllocateNothing(t *testing.T) {
	ln := servePackets(t, "udp", "127.0.0.1:0", echoPackets, conn.WithLoops(1))
	c := dialPackets(t, ln.LocalAddr())
	data, got := make([]byte, 200), make([]byte, 300)
	ask := func() {
		for range 10 {
			c.Write(data)
		}
		for range 10 {
			if _, err := c.Read(got); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 100 {
		ask()
	}
	if n := testing.AllocsPerRun(500, ask); n > 0 {
		t.Errorf("%v allocations for ten datagrams", n)
	}
}
