//go:build linux && (amd64 || arm64)

package conn_test

import (
	"io"
	"net"
	"path/filepath"
	"slices"
	"testing"

	"github.com/escahttp/esca/conn"
)

// The last send before a close is told that more follows, which is the end of the
// stream: both leave in one segment. No other is, or TCP would hold it back; nor that of
// who has given the descriptor away, of which there may be a duplicate, that lives on.
func TestEndLeavesWithTheLastSend(t *testing.T) {
	for _, tt := range []struct {
		name, network, address string
		see                    func(c *conn.Conn)
		last                   sendBefore
	}{
		{"tcp", "tcp", "127.0.0.1:0", func(*conn.Conn) {}, sendBefore{true, true, true}},
		{"unix", "unix", filepath.Join(t.TempDir(), "sock"), func(*conn.Conn) {}, sendBefore{close: true}},
		{"FD", "tcp", "127.0.0.1:0", func(c *conn.Conn) { conn.BurstOf(c).FD() }, sendBefore{close: true}},
		{"Control", "tcp", "127.0.0.1:0", func(c *conn.Conn) {
			rc, err := c.SyscallConn()
			sfMust(t, err)
			sfMust(t, rc.Control(func(uintptr) {}))
		}, sendBefore{close: true}},
	} {
		for _, backend := range backends(t) {
			t.Run(tt.name+"/"+backend.Name(), func(t *testing.T) {
				seen := &tables{Factory: backend}
				ln := listen(t, tt.network, tt.address, conn.WithLoops(1), conn.WithFactory(seen), conn.WithSteals(false))
				sfMust(t, ln.Start(serveFunc{serve: func(c *conn.Conn) {
					b := make([]byte, 16)
					n, err := c.Read(b)
					c.Write(b[:n])
					if err != nil || b[0] == 'q' {
						tt.see(c)
						c.Close()
					}
				}}))
				t.Cleanup(func() { sfEnds(t, ln) })
				c, err := net.Dial(tt.network, ln.Addr().String())
				sfMust(t, err)
				defer c.Close()
				for _, s := range []string{"one", "two", "q"} {
					c.Write([]byte(s))
					if _, err := io.ReadFull(c, make([]byte, len(s))); err != nil {
						t.Fatalf("the answer to %q: %v", s, err)
					}
				}
				if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
					t.Errorf("then %q, %v; want the end", b, err)
				}
				seen.mu.Lock()
				defer seen.mu.Unlock()
				if want := []sendBefore{{}, {}, tt.last}; !slices.Equal(seen.sends, want) {
					t.Errorf("sends %+v, want %+v", seen.sends, want)
				}
			})
		}
	}
}

// What the peer says between Close and the end of the tick has the kernel reset the
// connection as it closes the descriptor. The last send has left before that.
func TestLastSendArrivesThoughThePeerGoesOn(t *testing.T) {
	for _, backend := range backends(t) {
		t.Run(backend.Name(), func(t *testing.T) {
			peer := make(chan net.Conn, 1)
			ln := served(t, serveFunc{serve: func(c *conn.Conn) {
				c.Read(make([]byte, 16))
				io.WriteString(c, "answer")
				c.Close()
				io.WriteString(<-peer, "more")
			}}, conn.WithLoops(1), conn.WithFactory(backend), conn.WithDispatch(conn.DispatchInline), conn.WithSteals(false))
			c, err := net.Dial("tcp", ln.Addr().String())
			sfMust(t, err)
			defer c.Close()
			io.WriteString(c, "x")
			peer <- c
			if b, err := io.ReadAll(c); string(b) != "answer" {
				t.Errorf("%q, %v; want the answer", b, err)
			}
		})
	}
}
