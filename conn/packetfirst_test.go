//go:build linux && (amd64 || arm64)

package conn_test

import (
	"net"
	"testing"

	"github.com/escahttp/esca/conn"
)

// Where each is a crossing: one datagram at a time takes three (received, answered, and
// asked for more in vain), and of many peers that wait a tenth of one each, at the most.
func TestPacketsCrossings(t *testing.T) {
	requireBackend(t, "direct")
	sent := make(chan struct{})
	ln := servePackets(t, "udp4", "127.0.0.1:0", conn.PacketHandlerFunc(func(p *conn.Packets) {
		for p.Next() {
			if string(p.Data()) == "wait" {
				<-sent
			}
			p.Reply(p.Data())
		}
	}), conn.WithLoops(1), conn.WithSteals(false), conn.WithBackend("direct"))
	crossings := func(answers uint64) uint64 {
		waitUntil(t, "all are counted", func() bool { return ln.Stats().PacketsOut >= answers })
		return ln.Stats().Crossings
	}

	c := dialPackets(t, ln.LocalAddr())
	asks(t, c, []byte("x"))
	before := crossings(1)
	const turns = 200
	for range turns {
		asks(t, c, []byte("x"))
	}
	if n := crossings(1+turns) - before; n > 3*turns+turns/4 {
		t.Errorf("%d crossings for %d datagrams, one at a time", n, turns)
	}

	before = crossings(1 + turns)
	if _, err := c.Write([]byte("wait")); err != nil {
		t.Fatal(err)
	}
	const peers = 200 // as many small ones as a socket's buffer holds
	var cs []net.Conn
	for range peers {
		c := dialPackets(t, ln.LocalAddr())
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		cs = append(cs, c)
	}
	close(sent)
	for _, c := range cs {
		if n, err := c.Read(make([]byte, 8)); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if n := crossings(2+turns+peers) - before; n > (1+peers)/10 {
		t.Errorf("%d crossings for %d datagrams that waited", n, 1+peers)
	}
}
