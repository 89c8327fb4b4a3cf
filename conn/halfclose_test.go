//go:build linux && (amd64 || arm64)

package conn_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/escahttp/esca/conn"
)

func TestCloseWrite(t *testing.T) {
	for _, tt := range []struct {
		name         string
		total, piece int
	}{
		{"nothing before", 0, 1},
		{"one write before", 100, 100},
		{"many writes before", 1 << 20, 1000},
		{"big writes before", 1 << 20, 256 << 10},
		{"more than the socket takes before", 4 << 20, 8 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want, after := streamOf(3, tt.total), streamOf(4, 100_000)
			clEach(t, func(s *clSide) {
				peer, _, done := s.connect(func(c *conn.Conn) {
					s.write(c, want, tt.piece)
					for range 2 { // the second has nothing to do
						if err := c.CloseWrite(); err != nil {
							s.Errorf("CloseWrite: %v", err)
						}
					}
					for _, size := range []int{1, 100_000} {
						if n, err := c.Write(make([]byte, size)); n != 0 || !errors.Is(err, syscall.EPIPE) {
							s.Errorf("Write of %d after CloseWrite = %d, %v, want EPIPE", size, n, err)
						}
					}
					s.receives(c, after)
				})
				s.receives(peer, want) // and EOF, while c is open
				s.write(peer, after, len(after))
				peer.(interface{ CloseWrite() error }).CloseWrite()
				s.wait(done, "the other direction")
			}, conn.WithHighWater(8<<20))
		})
	}
}

// CloseWrite by one goroutine while another is inside a Write: whatever that
// Write reports as written arrives, and then the stream ends.
func TestCloseWriteDuringWrite(t *testing.T) {
	for _, tt := range []struct {
		name  string
		piece int
	}{
		{"small writes", 4 << 10},
		{"a big Write", 8 << 20},
		{"a ReadFrom", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, make([]byte, 8<<20), 0o644); err != nil {
				t.Fatal(err)
			}
			clEach(t, func(s *clSide) {
				hold := make(chan struct{})
				written, err := 0, error(nil)
				over := make(chan struct{})
				peer, c, _ := s.connect(func(c *conn.Conn) {
					if tt.piece == 0 {
						f, _ := os.Open(file)
						defer f.Close()
						n, _ := c.ReadFrom(f) // may also end with EPIPE
						written = int(n)
					}
					for n := 0; err == nil; written += n {
						n, err = c.Write(make([]byte, max(tt.piece, 1)))
					}
					close(over)
					<-hold // Close would end the stream as well
				})
				defer close(hold)
				s.blocked("writers")
				if err := c.CloseWrite(); err != nil {
					s.Errorf("CloseWrite: %v", err)
				}
				n, rerr := io.Copy(io.Discard, peer)
				if rerr != nil {
					s.Fatalf("the peer, after %d: %v, want EOF: %s", n, rerr, s.ln.Dump())
				}
				s.wait(over, "Write")
				if !errors.Is(err, syscall.EPIPE) || n != int64(written) {
					s.Errorf("%d written, then %v; %d received", written, err, n)
				}
			})
		})
	}
}

// The peer ends its stream: Read says io.EOF, again and again, and writing goes on.
func TestPeerClosesWrite(t *testing.T) {
	for _, tt := range []struct {
		name                   string
		request, answer, piece int
		waits                  bool // the end comes to a Read that waits for it
	}{
		{"nothing asked", 0, 100, 100, false},
		{"small", 100, 100, 100, false},
		{"small, waited for", 100, 100, 100, true},
		{"large", 1 << 20, 1 << 20, 1000, false},
		{"large, in one", 1 << 20, 4 << 20, 4 << 20, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			request, answer := streamOf(5, tt.request), streamOf(6, tt.answer)
			clEach(t, func(s *clSide) {
				peer, _, _ := s.connect(func(c *conn.Conn) {
					s.receives(c, request)
					for range 2 {
						if n, err := c.Read(make([]byte, 10)); n != 0 || err != io.EOF {
							s.Errorf("Read at the end = %d, %v", n, err)
						}
					}
					s.write(c, answer, tt.piece)
				})
				s.write(peer, request, max(tt.request, 1))
				if tt.waits {
					s.blocked("readers")
				}
				peer.(interface{ CloseWrite() error }).CloseWrite()
				s.receives(peer, answer)
			})
		})
	}
}

// clReset resets the connection: by SO_LINGER on TCP, on unix by leaving unread
// what c has sent.
func clReset(peer net.Conn) {
	if tcp, ok := peer.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	peer.Close()
}

// TestPeerResets also has a queued write fail: the call that queued it has
// returned, so the next one reports it.
func TestPeerResets(t *testing.T) {
	for _, tt := range []struct {
		name  string
		piece int  // of what is written; 0: it only reads
		after bool // it writes once Read has reported the reset
	}{
		{"Read waits", 0, false},
		{"a small Write waits", 4 << 10, false},
		{"a big Write waits", 1 << 20, false},
		{"small writes after it", 10, true},
		{"big writes after it", 20_000, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clEach(t, func(s *clSide) {
				peer, _, done := s.connect(func(c *conn.Conn) {
					c.Write([]byte("unread"))
					if tt.piece == 0 || tt.after {
						n, err := c.Read(make([]byte, 1))
						if n != 0 || !errors.Is(err, syscall.ECONNRESET) {
							s.Errorf("Read = %d, %v, want ECONNRESET", n, err)
						}
					}
					if tt.piece > 0 {
						clFails(s, c, tt.piece)
					}
				})
				if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
					s.Error(err)
				}
				if tt.piece == 0 || tt.after {
					s.blocked("readers")
				} else {
					s.blocked("writers")
				}
				clReset(peer)
				s.wait(done, "what waited")
			})
		})
	}
}

// clFails writes until that fails, which it must, and go on to.
func clFails(s *clSide, c *conn.Conn, piece int) {
	var err error
	for end := time.Now().Add(patience); err == nil; {
		if _, err = c.Write(make([]byte, piece)); err == nil && time.Now().After(end) {
			err = os.ErrDeadlineExceeded
		}
	}
	for range 3 {
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "write" || op.Timeout() ||
			!errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			s.Errorf("Write fails with %v, want EPIPE or ECONNRESET", err)
		}
		_, err = c.Write([]byte("more"))
	}
}

func TestCloseWithLingerZeroResets(t *testing.T) {
	for _, tt := range []struct {
		name          string
		secs, written int
		undo          bool
	}{
		{"nothing queued", 0, 0, false},
		{"something queued", 0, 1 << 20, false},
		{"undone", -1, 1 << 20, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := make([]byte, tt.written)
			clEach(t, func(s *clSide) {
				peer, _, done := s.connect(func(c *conn.Conn) {
					for _, secs := range []int{0, tt.secs} {
						if err := c.SetLinger(secs); err != nil {
							s.Errorf("SetLinger: %v", err)
						}
					}
					s.write(c, want, 8<<10)
				})
				s.wait(done, "Close")
				if tt.undo {
					s.receives(peer, want)
				} else if n, err := io.Copy(io.Discard, peer); s.network == "tcp" && !errors.Is(err, syscall.ECONNRESET) {
					s.Errorf("the peer, after %d of %d: %v, want a reset", n, tt.written, err)
				}
			}, conn.WithHighWater(8<<20))
		})
	}
}
