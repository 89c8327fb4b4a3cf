//go:build linux && (amd64 || arm64)

package conn_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
)

// lateLook has a look that has harvested bytes end only when it is let go.
type lateLook struct {
	poller.Factory
	harvested chan<- struct{}
	letGo     <-chan struct{}
}

type lateLookBackend struct {
	poller.Backend
	sh *poller.Shared
	lateLook
}

func (f lateLook) Open(ep *poller.Epoll, sh *poller.Shared) (poller.Backend, error) {
	be, err := f.Factory.Open(ep, sh)
	return lateLookBackend{be, sh, f}, err
}

func (b lateLookBackend) Tick(n int) (int, error) {
	m, err := b.Backend.Tick(n)
	for i := range m {
		if ev := &b.sh.Events[i]; ev.Slot >= 0 {
			b.harvested <- struct{}{}
			<-b.letGo
		}
	}
	return m, err
}

// What a look has received while somebody reads by hand comes before what is received
// after it. (package net does both where it copies from a connection: it tries a
// sendfile, by SyscallConn, and then reads.)
func TestRawReadBesideALook(t *testing.T) {
	for _, backend := range backends(t) {
		t.Run(backend.Name(), func(t *testing.T) {
			harvested, letGo := make(chan struct{}, 99), make(chan struct{})
			ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1), conn.WithFactory(lateLook{backend, harvested, letGo}))
			t.Cleanup(func() { sfEnds(t, ln) })
			c, peer := pipe(t, ln, false)
			defer c.Close()
			defer peer.Close()
			io.WriteString(peer, "first")
			sfWait(t, "the look", harvested)
			io.WriteString(peer, "second")
			type result struct {
				b   []byte
				err error
			}
			read := make(chan result, 1)
			go func() {
				sfRaw(t, c).Read(func(uintptr) bool { return true })
				b := make([]byte, len("firstsecond"))
				_, err := io.ReadFull(c, b)
				read <- result{b, err}
			}()
			var got result
			for waits := false; !waits && got.b == nil; {
				select {
				case got = <-read: // without having waited for the look
				case <-time.After(time.Millisecond):
					waits = strings.Contains(ln.Dump(), "readers true")
				}
			}
			close(letGo)
			if got.b == nil {
				got = sfWait(t, "the reader", read)
			}
			if string(got.b) != "firstsecond" || got.err != nil {
				t.Errorf("%q, %v", got.b, got.err)
			}
		})
	}
}
