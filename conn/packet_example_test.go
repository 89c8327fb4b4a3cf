//go:build linux && (amd64 || arm64)

package conn_test

import (
	"bytes"
	"fmt"

	"github.com/escahttp/esca/conn"
)

// A server of datagrams gets all that is waiting in one call.
func ExampleListenPacket() {
	ln, err := conn.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ln.Close()
	go ln.Serve(conn.PacketHandlerFunc(func(p *conn.Packets) {
		for p.Next() {
			p.Reply(bytes.ToUpper(p.Data()))
		}
	}))

	c, err := conn.DialPacket("udp", ln.LocalAddr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Fprint(c, "hello")
	answer := make([]byte, 100)
	n, _ := c.Read(answer)
	fmt.Println(string(answer[:n]))
	// Output: HELLO
}
