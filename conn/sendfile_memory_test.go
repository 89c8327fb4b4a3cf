//go:build linux && (amd64 || arm64)

package conn_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
)

// sendfiles notes the flags of each sendfile of a loop.
type sendfiles struct {
	poller.Factory
	mu    *sync.Mutex
	flags *[]uint32
}

type sendfilesBackend struct {
	poller.Backend
	seen sendfiles
}

func (f sendfiles) Open(ep *poller.Epoll, sh *poller.Shared) (poller.Backend, error) {
	be, err := f.Factory.Open(ep, sh)
	return sendfilesBackend{be, f}, err
}

func (b sendfilesBackend) Call(e *poller.Entry) {
	if e.NR == unix.SYS_SENDFILE {
		b.seen.mu.Lock()
		*b.seen.flags = append(*b.seen.flags, e.Flags)
		b.seen.mu.Unlock()
	}
	b.Backend.Call(e)
}

// inMemory is a file that says where it lies.
type inMemory struct {
	*os.File
	says bool
}

func (f inMemory) InMemory() bool { return f.says }

// The P is kept for a file that says that it lies in memory, and only for one: to
// keep it for any other would stop Go for as long as its disk takes.
func TestReadFromMemory(t *testing.T) {
	content := streamOf(11, 300_000)
	fd, err := unix.MemfdCreate("memory", unix.MFD_CLOEXEC)
	sfMust(t, err)
	memory := os.NewFile(uintptr(fd), "memory")
	t.Cleanup(func() { memory.Close() })
	_, err = memory.Write(content)
	sfMust(t, err)
	for _, backend := range backends(t) {
		for _, tt := range []struct {
			name   string
			at     io.ReaderAt
			prompt bool
		}{
			{"says that it lies in memory", inMemory{memory, true}, true},
			{"says that it does not", inMemory{memory, false}, false},
			{"does not say", memory, false},
			{"of a disk", sfFile(t, content), false},
		} {
			t.Run(fmt.Sprintf("%s/%s", backend.Name(), tt.name), func(t *testing.T) {
				var mu sync.Mutex
				var flags []uint32
				ln := served(t, serveFunc{serve: func(c *conn.Conn) {
					io.WriteString(c, "header ")
					if n, err := c.ReadFrom(io.NewSectionReader(tt.at, 0, int64(len(content)))); err != nil {
						t.Errorf("ReadFrom: %d, %v", n, err)
					}
					c.Close()
				}}, conn.WithLoops(1), conn.WithFactory(sendfiles{backend, &mu, &flags}))
				peer, err := net.Dial("tcp", ln.Addr().String())
				sfMust(t, err)
				defer peer.Close()
				_, err = io.WriteString(peer, "go")
				sfMust(t, err)
				got, err := io.ReadAll(peer)
				sfMust(t, err)
				sfSame(t, "the peer", got, append([]byte("header "), content...))
				mu.Lock()
				defer mu.Unlock()
				if len(flags) == 0 {
					t.Error("no sendfile was made")
				}
				for _, f := range flags {
					if f&poller.Prompt != 0 != tt.prompt {
						t.Errorf("flags %#x, prompt: want %v", f, tt.prompt)
					}
				}
			})
		}
	}
}
