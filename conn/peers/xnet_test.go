//go:build linux && (amd64 || arm64)

package peers

import (
	"net"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/escahttp/esca/conn"
)

func listenPacket(t *testing.T, network, addr string) *conn.PacketListener {
	t.Helper()
	ln, err := conn.ListenPacket(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	ln.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { ln.Close() })
	return ln
}

// Message is x/net's, field by field.
func TestMessageIsXNets(t *testing.T) {
	var a conn.Message
	var b ipv4.Message
	if unsafe.Sizeof(a) != unsafe.Sizeof(b) || unsafe.Offsetof(a.Flags) != unsafe.Offsetof(b.Flags) || unsafe.Offsetof(a.Addr) != unsafe.Offsetof(b.Addr) {
		t.Error("another layout")
	}
	_ = conn.Message(b) // or it does not compile
}

// x/net's packages work on it: control messages, and its own batches.
func TestPacketConnUnderXNet(t *testing.T) {
	a, b := listenPacket(t, "udp4", "127.0.0.1:0"), listenPacket(t, "udp4", "127.0.0.1:0")
	p := ipv4.NewPacketConn(b)
	if err := p.SetControlMessage(ipv4.FlagTTL|ipv4.FlagDst, true); err != nil {
		t.Fatal(err)
	}
	q := ipv4.NewPacketConn(a)
	if err := q.SetTTL(7); err != nil {
		t.Fatal(err)
	}
	if n, err := q.WriteBatch([]ipv4.Message{{Buffers: [][]byte{[]byte("one")}, Addr: b.LocalAddr()}}, 0); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	in := []ipv4.Message{{Buffers: [][]byte{make([]byte, 10)}, OOB: make([]byte, 128)}}
	n, err := p.ReadBatch(in, 0)
	if n != 1 || err != nil || in[0].N != 3 {
		t.Fatal(n, err, in)
	}
	var cm ipv4.ControlMessage
	if err := cm.Parse(in[0].OOB[:in[0].NN]); err != nil || cm.TTL != 7 || !cm.Dst.IsLoopback() {
		t.Errorf("%v, %+v", err, cm)
	}
	// And so do ours, with the same control messages.
	if _, _, err := a.WriteMsgUDP([]byte("two"), nil, b.LocalAddr().(*net.UDPAddr)); err != nil {
		t.Fatal(err)
	}
	oob := make([]byte, 128)
	m, oobn, _, from, err := b.ReadMsgUDP(make([]byte, 10), oob)
	if m != 3 || err != nil || from.String() != a.LocalAddr().String() || cm.Parse(oob[:oobn]) != nil || cm.TTL != 7 {
		t.Error(m, from, err, cm)
	}
	six := listenPacket(t, "udp6", "[::1]:0")
	if err := ipv6.NewPacketConn(six).SetHopLimit(3); err != nil {
		t.Error(err)
	}
}
