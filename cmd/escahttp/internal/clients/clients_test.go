//go:build linux

package clients

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
)

// kinds are the listeners whose connections can stall.
var kinds = []struct {
	name   string
	listen func(t *testing.T) (net.Listener, error)
}{
	{"tcp", func(t *testing.T) (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }},
	{"unix", func(t *testing.T) (net.Listener, error) {
		return net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	}},
	{"esca, tcp", func(t *testing.T) (net.Listener, error) { return conn.Listen("tcp", "127.0.0.1:0", conn.WithLoops(1)) }},
	{"esca, unix", func(t *testing.T) (net.Listener, error) {
		return conn.Listen("unix", filepath.Join(t.TempDir(), "s"), conn.WithLoops(1))
	}},
}

// both returns the two ends of a connection.
func both(t *testing.T, listen func(t *testing.T) (net.Listener, error)) (ours, peer net.Conn) {
	t.Helper()
	ln, err := listen(t)
	if err != nil {
		t.Fatal(err)
	}
	if peer, err = net.Dial(ln.Addr().Network(), ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if ours, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); peer.Close(); ln.Close() })
	return ours, peer
}

// fill writes until the peer's not reading stops it.
func fill(t *testing.T, c net.Conn) {
	t.Helper()
	b := make([]byte, 64<<10)
	for {
		c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := c.Write(b); errors.Is(err, os.ErrDeadlineExceeded) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come about that %s", what)
		}
	}
}

func TestProgress(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			ours, peer := both(t, k.listen)
			at := time.Unix(0, 0)
			later := func() time.Time { at = at.Add(time.Hour); return at }
			var p progress
			if d := p.stalled(ours, later()); d != 0 {
				t.Errorf("with nothing to send it has stalled for %v", d)
			}
			fill(t, ours)
			eventually(t, "nothing moves any more", func() bool { p.stalled(ours, at); return p.stalled(ours, later()) == time.Hour })
			if d := p.stalled(ours, later()); d != 2*time.Hour {
				t.Errorf("after two hours it has stalled for %v", d)
			}
			// A peer that takes something has the time begin anew: as soon as the kernel
			// tells us, which with TCP is when there is room for a good part of its queue.
			for range 3 {
				eventually(t, "the progress is seen", func() bool {
					if _, err := io.CopyN(io.Discard, peer, 16<<10); err != nil {
						t.Fatal(err)
					}
					return p.stalled(ours, later()) == 0
				})
				fill(t, ours)
				eventually(t, "nothing moves any more", func() bool { p.stalled(ours, at); return p.stalled(ours, later()) == time.Hour })
			}
			go io.Copy(io.Discard, peer)
			eventually(t, "all is taken", func() bool { return p.stalled(ours, later()) == 0 && p.queued == 0 })
		})
	}
}

// A peer that takes nothing is cut off, in the middle of a Write and after it;
// its neighbour is not.
func TestStalledIsCutOff(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			var said atomic.Int32
			s := New(Options{Stalled: 100 * time.Millisecond, Logf: func(string, ...any) { said.Add(1) }})
			ours, _ := both(t, k.listen)
			quiet, _ := both(t, k.listen)
			s.State(ours, fasthttp.StateNew)
			s.State(quiet, fasthttp.StateNew)
			b := make([]byte, 1<<20)
			for err := error(nil); err == nil; {
				_, err = ours.Write(b)
			}
			s.State(ours, fasthttp.StateClosed)
			if said.Load() == 0 || s.Count() != 1 {
				t.Errorf("said %d, open %d", said.Load(), s.Count())
			}
			if _, err := quiet.Write([]byte("x")); err != nil {
				t.Errorf("the neighbour: %v", err)
			}
			s.State(quiet, fasthttp.StateClosed)
			eventually(t, "nobody is watched any more", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.timer == nil
			})
		})
	}
}

// A peer that reads a little again and again is not, however long it takes.
func TestSteadyIsNotCutOff(t *testing.T) {
	const stalled = 2 * time.Second
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			s := New(Options{Stalled: stalled, Logf: t.Logf})
			ours, peer := both(t, k.listen)
			s.State(ours, fasthttp.StateNew)
			defer s.State(ours, fasthttp.StateClosed)
			failed := make(chan error, 1)
			quit := make(chan struct{})
			go func() {
				b := make([]byte, 64<<10)
				for {
					select {
					case <-quit:
						failed <- nil
						return
					default:
					}
					if _, err := ours.Write(b); err != nil {
						failed <- err
						return
					}
				}
			}()
			b := make([]byte, 64<<10)
			for end := time.Now().Add(2*stalled + stalled/2); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
				if _, err := peer.Read(b); err != nil {
					t.Fatal(err)
				}
			}
			close(quit)
			go io.Copy(io.Discard, peer)
			if err := <-failed; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPerAddress(t *testing.T) {
	refused := 0
	s := New(Options{PerAddress: 2, Logf: t.Logf, Refuse: func(c net.Conn) { refused++; io.WriteString(c, "no") }})
	var ours []net.Conn
	for range 3 {
		o, peer := both(t, kinds[0].listen)
		ours = append(ours, o)
		s.State(o, fasthttp.StateNew)
		if len(ours) == 3 {
			if b, err := io.ReadAll(peer); string(b) != "no" || err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the third gets %q, %v", b, err)
			}
		}
	}
	s.State(ours[2], fasthttp.StateClosed) // was never counted
	s.State(ours[0], fasthttp.StateClosed)
	s.State(ours[0], fasthttp.StateClosed)
	for range 2 {
		o, _ := both(t, kinds[0].listen)
		s.State(o, fasthttp.StateNew)
	}
	if refused != 2 || s.Count() != 2 {
		t.Errorf("%d refused, %d open", refused, s.Count())
	}
}
