//go:build linux && (amd64 || arm64)

package conn_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller/pollertest"
)

// clSides is who has the connection under test. A handler's writes go to the
// table of its loop; another goroutine's mostly leave directly, past a loop that
// sleeps. Both must come to the same.
var clSides = []struct {
	name   string
	served bool
	mode   conn.Dispatch
}{
	{"accepted", false, conn.DispatchAdaptive},
	{"inline", true, conn.DispatchInline},
	{"goroutine", true, conn.DispatchGoroutine},
	{"adaptive", true, conn.DispatchAdaptive},
}

// clSide is one of them on one network, with a listener of its own.
type clSide struct {
	*testing.T
	network string
	ln      *conn.Listener
	served  bool
	uses    chan func(*conn.Conn)
	conns   chan *conn.Conn
	done    []<-chan struct{}
	peers   []net.Conn
}

// clEach runs test for every side on every network. When it is over the loops
// must end, and no descriptor be left.
func clEach(t *testing.T, test func(s *clSide), opts ...conn.Option) {
	for _, network := range []string{"tcp", "unix"} {
		for _, side := range clSides {
			t.Run(network+"/"+side.name, func(t *testing.T) {
				pollertest.NoLeaks(t)
				addr := "127.0.0.1:0"
				if network == "unix" {
					addr = filepath.Join(t.TempDir(), "s")
				}
				s := &clSide{T: t, network: network, served: side.served, uses: make(chan func(*conn.Conn), 1), conns: make(chan *conn.Conn, 1)}
				s.ln = listen(t, network, addr, append([]conn.Option{conn.WithLoops(1),
					conn.WithDispatch(side.mode), conn.WithLinger(2 * patience)}, opts...)...)
				if side.served {
					go s.ln.Serve(s)
				}
				defer s.end()
				test(s)
			})
		}
	}
}

func (s *clSide) Open(*conn.Burst) {}

// Serve makes a clSide the Handler: a connection's first burst is its only one.
func (s *clSide) Serve(b *conn.Burst) {
	c := b.Conn()
	if use := <-s.uses; use != nil {
		use(c)
	}
}

// connect returns the peer of a connection that use has: it is under way, and
// done is closed when it is over, and the connection closed.
func (s *clSide) connect(use func(c *conn.Conn)) (peer net.Conn, c *conn.Conn, done <-chan struct{}) {
	s.Helper()
	peer, err := net.Dial(s.network, s.ln.Addr().String())
	if err != nil {
		s.Fatal(err)
	}
	peer.SetDeadline(time.Now().Add(patience))
	over := make(chan struct{})
	s.peers, s.done = append(s.peers, peer), append(s.done, over)
	s.uses <- func(c *conn.Conn) {
		defer close(over)
		defer c.Close()
		if n, err := c.Read(make([]byte, 1)); n != 1 { // what the burst began with
			s.Errorf("the first Read = %d, %v", n, err)
		}
		s.conns <- c
		use(c)
	}
	io.WriteString(peer, "!")
	if !s.served {
		c, err := s.ln.Accept()
		if err != nil {
			s.Fatal(err)
		}
		go s.Serve(conn.BurstOf(c.(*conn.Conn)))
	}
	select {
	case c = <-s.conns:
	case <-time.After(patience):
		s.Fatalf("it is not served: %s", s.ln.Dump())
	}
	return peer, c, over
}

// end closes the peers, which ends whatever is still under way, and the loops.
func (s *clSide) end() {
	for _, p := range s.peers {
		p.Close()
	}
	for _, done := range s.done {
		s.wait(done, "its user")
	}
	s.ln.Close()
	ended := make(chan struct{})
	go func() { s.ln.Wait(); close(ended) }()
	s.wait(ended, "the loop")
	if st := s.ln.Stats(); st.Open != 0 || st.Workers != 0 {
		s.Errorf("at the end: %+v", st)
	}
}

func (s *clSide) wait(done <-chan struct{}, who string) {
	s.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		s.Fatalf("%s does not come to an end: %s", who, s.ln.Dump())
	}
}

// until looks again and again, as nothing announces what it looks for.
func (s *clSide) until(what string, so func() bool) {
	s.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			s.Fatalf("not so: %s: %s", what, s.ln.Dump())
		}
	}
}

// blocked waits until someone waits to read, or to write.
func (s *clSide) blocked(queue string) {
	s.Helper()
	s.until("one of the "+queue+" waits", func() bool { return strings.Contains(s.ln.Dump(), queue+" true") })
}

// write writes b in pieces.
func (s *clSide) write(c net.Conn, b []byte, piece int) {
	for len(b) > 0 {
		n := min(piece, len(b))
		if m, err := c.Write(b[:n]); m != n || err != nil {
			s.Errorf("Write of %d = %d, %v", n, m, err)
			return
		}
		b = b[n:]
	}
}

// receives checks that exactly want comes, and then the end of the stream. It
// reads in small pieces, so that the other side has to wait.
func (s *clSide) receives(peer net.Conn, want []byte) {
	s.Helper()
	buf := make([]byte, 4<<10)
	for at := 0; ; {
		n, err := peer.Read(buf)
		if at+n > len(want) || !bytes.Equal(buf[:n], want[at:at+n]) {
			s.Fatalf("what comes at %d of %d is not what was sent", at, len(want))
		}
		if at += n; err != nil {
			if err != io.EOF || at != len(want) {
				s.Errorf("after %d of %d: %v, want EOF: %s", at, len(want), err, s.ln.Dump())
			}
			return
		}
		runtime.Gosched()
	}
}

func TestCloseSendsWhatIsQueued(t *testing.T) {
	for _, tt := range []struct {
		name         string
		total, piece int
	}{
		{"nothing", 0, 1},
		{"one write", 100, 100},
		{"many writes", 60_000, 999},
		{"megabytes, queued", 4 << 20, 8 << 10},
		{"megabytes, not copied", 4 << 20, 1 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := streamOf(1, tt.total)
			clEach(t, func(s *clSide) {
				peer, _, done := s.connect(func(c *conn.Conn) {
					s.write(c, want, tt.piece)
					if err := c.Close(); err != nil {
						s.Errorf("Close: %v", err)
					}
				})
				if tt.piece < 16<<10 {
					s.wait(done, "Close") // although nothing is read yet
				}
				s.receives(peer, want)
			}, conn.WithHighWater(8<<20))
		})
	}
}

// The linger limit frees a connection whose peer never reads.
func TestLingerEnds(t *testing.T) {
	clEach(t, func(s *clSide) {
		_, _, done := s.connect(func(c *conn.Conn) { s.write(c, make([]byte, 16<<20), 8<<10) })
		s.wait(done, "Close")
		s.until("it is given up", func() bool { return s.ln.Stats().Open == 0 })
	}, conn.WithHighWater(32<<20), conn.WithLinger(10*time.Millisecond))
}

func TestAfterClose(t *testing.T) {
	calls := []struct {
		name string
		do   func(c *conn.Conn) error
	}{
		{"Read", func(c *conn.Conn) error { _, err := c.Read(make([]byte, 1)); return err }},
		{"Read of nothing", func(c *conn.Conn) error { _, err := c.Read(nil); return err }},
		{"Write", func(c *conn.Conn) error { _, err := c.Write([]byte("x")); return err }},
		{"Write of nothing", func(c *conn.Conn) error { _, err := c.Write(nil); return err }},
		{"big Write", func(c *conn.Conn) error { _, err := c.Write(make([]byte, 1<<20)); return err }},
		{"ReadFrom", func(c *conn.Conn) error { _, err := c.ReadFrom(strings.NewReader("x")); return err }},
		{"CloseWrite", (*conn.Conn).CloseWrite},
		{"CloseRead", (*conn.Conn).CloseRead},
		{"SetDeadline", func(c *conn.Conn) error { return c.SetDeadline(time.Time{}) }},
		{"SetReadDeadline", func(c *conn.Conn) error { return c.SetReadDeadline(time.Time{}) }},
		{"SetWriteDeadline", func(c *conn.Conn) error { return c.SetWriteDeadline(time.Now()) }},
		{"SetLinger", func(c *conn.Conn) error { return c.SetLinger(0) }},
		{"File", func(c *conn.Conn) error { _, err := c.File(); return err }},
	}
	clEach(t, func(s *clSide) {
		peer, _, _ := s.connect(func(c *conn.Conn) {
			if err := c.Close(); err != nil {
				s.Errorf("Close: %v", err)
			}
			for range 2 { // also while the descriptor still waits to be closed
				for _, call := range calls {
					if err := call.do(c); !errors.Is(err, net.ErrClosed) {
						s.Errorf("%s: %v, want net.ErrClosed", call.name, err)
					}
				}
				if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
					s.Errorf("a further Close: %v", err)
				}
				if s.served {
					return // its worker holds the loop
				}
				s.until("it is gone", func() bool { return s.ln.Stats().Open == 0 })
			}
		})
		s.receives(peer, nil)
	})
}

// Close ends what waits, and what had been written before still arrives: no more
// and no less than Write has said.
func TestCloseEndsWhatWaits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		piece  int  // of what is written until Close; 0: it reads
		unread bool // the peer has sent what is not read, so it cannot be closed at once
	}{
		{"Read", 0, false},
		{"small Write", 4 << 10, false},
		{"big Write", 1 << 20, false},
		{"small Write, input unread", 4 << 10, true},
		{"big Write, input unread", 1 << 20, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clEach(t, func(s *clSide) {
				written := 0
				peer, c, done := s.connect(func(c *conn.Conn) {
					if tt.unread {
						c.Read(make([]byte, 1))
					}
					for {
						n, err := 0, error(nil)
						if tt.piece == 0 {
							_, err = c.Read(make([]byte, 1))
						} else if n, err = c.Write(make([]byte, tt.piece)); n == tt.piece && err != nil {
							s.Errorf("all was written, and: %v", err)
						}
						if written += n; err != nil {
							if !errors.Is(err, net.ErrClosed) {
								s.Errorf("ended by %v", err)
							}
							return
						}
					}
				})
				if tt.unread {
					peer.Write(make([]byte, 1000))
				}
				s.blocked(map[bool]string{true: "readers", false: "writers"}[tt.piece == 0])
				c.Close()
				s.wait(done, "what waited")
				s.receives(peer, make([]byte, written))
			})
		})
	}
}

// A peer that still sends must not lose the answer to a reset.
func TestCloseWithInputUnread(t *testing.T) {
	for _, tt := range []struct {
		name                string
		body, answer, piece int
	}{
		{"small body, small answer", 1000, 100, 100},
		{"large body, small answer", 2 << 20, 100, 100},
		{"large body, large answer", 2 << 20, 1 << 20, 8 << 10},
		{"large body, answer in one", 2 << 20, 1 << 20, 1 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer := streamOf(2, tt.answer)
			clEach(t, func(s *clSide) {
				peer, _, _ := s.connect(func(c *conn.Conn) {
					c.Read(make([]byte, 1)) // so that the body is coming
					s.write(c, answer, tt.piece)
				})
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					s.write(peer, make([]byte, tt.body), tt.body)
				}()
				s.receives(peer, answer)
				s.wait(sent, "the body")
			})
		})
	}
}

// Nor one whose second piece came while the Handler was busy with the first: the loop
// has not looked since, and nobody has been told of it.
func TestCloseWithMoreThanTheFirstReceive(t *testing.T) {
	onEachDispatch(t, func(t *testing.T, dispatch conn.Option) {
		began, sent := make(chan struct{}, 1), make(chan struct{}, 1)
		ln := served(t, serveFunc{serve: func(c *conn.Conn) {
			c.Read(make([]byte, 100))
			began <- struct{}{}
			<-sent
			c.Write([]byte("answer"))
			c.Close()
		}}, conn.WithLoops(1), dispatch)
		for range 5 {
			peer := dialed(t, ln)
			peer.Write([]byte("first"))
			sfWait(t, "the first receive", began)
			peer.Write(make([]byte, 10_000))
			sent <- struct{}{}
			if b, err := io.ReadAll(peer); err != nil || string(b) != "answer" {
				t.Errorf("%q, %v", b, err)
			}
			peer.Close()
		}
	})
}

// The ways to close give the descriptor back while the listener goes on.
func TestCloseGivesDescriptorsBack(t *testing.T) {
	count := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	ways := []func(c *conn.Conn){
		func(c *conn.Conn) { c.Close() },
		func(c *conn.Conn) { c.CloseWrite(); c.Close() },
		func(c *conn.Conn) { c.Write(make([]byte, 1000)); c.Close() },
		func(c *conn.Conn) { c.Write(make([]byte, 20_000)); c.CloseWrite() },
		func(c *conn.Conn) { c.SetLinger(0); c.Write(make([]byte, 1000)) },
		func(c *conn.Conn) { c.Read(make([]byte, 1)) }, // ended by the peer, or reset
	}
	clEach(t, func(s *clSide) {
		before := 0
		for i := range 60 {
			peer, _, done := s.connect(ways[i%len(ways)])
			if tcp, ok := peer.(*net.TCPConn); ok && i%2 == 0 {
				tcp.SetLinger(0)
			}
			peer.Close()
			s.wait(done, "its user")
			s.until("it is gone", func() bool { return s.ln.Stats().Open == 0 })
			if i == 0 {
				before = count() // a loop has opened what it needs
			}
		}
		if after := count(); after > before {
			s.Errorf("%d descriptors are open, at first %d", after, before)
		}
	})
}
