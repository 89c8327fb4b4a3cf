//go:build linux && (amd64 || arm64)

package conn_test

import (
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
)

// tables notes the sends of a loop's tables, each with what is chained to it.
type tables struct {
	poller.Factory
	mu    sync.Mutex
	sends []sendBefore
}

// sendBefore is a send: whether it was said to have more behind it, and whether a
// close is chained to it.
type sendBefore struct{ more, close bool }

type tablesBackend struct {
	poller.Backend
	sh   *poller.Shared
	seen *tables
}

func (f *tables) Open(ep *poller.Epoll, sh *poller.Shared) (poller.Backend, error) {
	be, err := f.Factory.Open(ep, sh)
	return tablesBackend{be, sh, f}, err
}

func (b tablesBackend) Run(n int) {
	b.note(n)
	b.Backend.Run(n)
}

func (b tablesBackend) Tick(n int) (int, error) {
	b.note(n)
	return b.Backend.Tick(n)
}

func (b tablesBackend) note(n int) {
	b.seen.mu.Lock()
	defer b.seen.mu.Unlock()
	for i, e := range b.sh.Entries[:n] {
		if e.NR == unix.SYS_SENDTO {
			closes := e.Flags&poller.Link != 0 && i+1 < n && b.sh.Entries[i+1].NR == unix.SYS_CLOSE
			b.seen.sends = append(b.seen.sends, sendBefore{e.Args[3]&unix.MSG_MORE != 0, closes})
		}
	}
}

// The last send before a close is told that more follows, which is the end of the
// stream: both leave in one segment. No other is, or TCP would hold it back.
func TestEndLeavesWithTheLastSend(t *testing.T) {
	for _, backend := range backends(t) {
		t.Run(backend.Name(), func(t *testing.T) {
			seen := &tables{Factory: backend}
			ln := served(t, serveFunc{serve: func(c *conn.Conn) {
				b := make([]byte, 16)
				n, err := c.Read(b)
				c.Write(b[:n])
				if err != nil || b[0] == 'q' {
					c.Close()
				}
			}}, conn.WithLoops(1), conn.WithFactory(seen))
			c, err := net.Dial("tcp", ln.Addr().String())
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
			if want := []sendBefore{{}, {}, {true, true}}; !slices.Equal(seen.sends, want) {
				t.Errorf("sends %+v, want %+v", seen.sends, want)
			}
		})
	}
}
