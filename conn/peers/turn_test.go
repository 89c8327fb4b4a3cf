package peers

import (
	"net"
	"testing"
	"time"

	"github.com/pion/turn/v4"

	"github.com/escahttp/esca/conn"
)

// relays are pion/turn's relays on esca's sockets.
type relays struct {
	turn.RelayAddressGeneratorStatic
}

func (r *relays) AllocatePacketConn(network string, port int) (net.PacketConn, net.Addr, error) {
	pc, err := conn.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	return pc, pc.LocalAddr(), nil
}

// A peer and a client talk through pion/turn's server, all of them on esca's sockets.
func TestTURN(t *testing.T) {
	ln, err := conn.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const realm, user, password = "esca", "user", "password"
	srv, err := turn.NewServer(turn.ServerConfig{
		Realm: realm,
		AuthHandler: func(name, realm string, _ net.Addr) ([]byte, bool) {
			return turn.GenerateAuthKey(name, realm, password), name == user
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: ln, RelayAddressGenerator: &relays{
			turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	own, err := conn.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	client, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: ln.LocalAddr().String(), TURNServerAddr: ln.LocalAddr().String(),
		Conn: own, Username: user, Password: password, Realm: realm,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	relay, err := client.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	peer, err := conn.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	if err := client.CreatePermission(peer.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2000)
	for i := range 200 {
		data := make([]byte, 1+i*5)
		data[0] = byte(i)
		if _, err := relay.WriteTo(data, peer.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		peer.SetReadDeadline(time.Now().Add(patience))
		n, from, err := peer.ReadFrom(buf)
		if err != nil || n != len(data) || buf[0] != byte(i) {
			t.Fatalf("%d: the peer got %d bytes, %v", i, n, err)
		}
		if _, err := peer.WriteTo(buf[:n], from); err != nil {
			t.Fatal(err)
		}
		relay.SetReadDeadline(time.Now().Add(patience))
		if n, _, err = relay.ReadFrom(buf); err != nil || n != len(data) || buf[0] != byte(i) {
			t.Fatalf("%d: the client got %d bytes, %v", i, n, err)
		}
	}
}
