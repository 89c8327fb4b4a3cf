//go:build linux && (amd64 || arm64)

package conn_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/escahttp/esca/conn"
)

// clBigWrite is from where on Write does not copy.
const clBigWrite = 16 << 10

// Whoever writes may use the buffer again as soon as Write has returned, whether
// the bytes were copied, sent, or are queued because the socket is full.
func TestWriteKeepsNothing(t *testing.T) {
	for _, tt := range []struct {
		name        string
		size, times int
		late        bool // the peer reads only when all is written
	}{
		{"small", 100, 200, false},
		{"small, queued", 100, 2000, true},
		{"just copied", clBigWrite - 1, 50, false},
		{"just copied, queued", clBigWrite - 1, 300, true},
		{"just not copied", clBigWrite, 50, false},
		{"large", 1 << 20, 4, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := streamOf(7, tt.size*tt.times)
			clEach(t, func(s *clSide) {
				peer, _, done := s.connect(func(c *conn.Conn) {
					buf := make([]byte, tt.size)
					for i := range tt.times {
						copy(buf, want[i*tt.size:])
						s.write(c, buf, tt.size)
						clear(buf)
					}
				})
				if tt.late {
					s.wait(done, "writing")
				}
				s.receives(peer, want)
			}, conn.WithHighWater(8<<20))
		})
	}
}

// Writes of all sizes from one goroutine: what is copied, what is queued because
// the socket is full, and what goes from where it is keep their order.
func TestWriteKeepsOrder(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sizes []int
	}{
		{"small ones", []int{1, 100, 4000}},
		{"around the limit", []int{clBigWrite - 1, clBigWrite, clBigWrite + 1, 1}},
		{"small before big", []int{10, 100_000, 10, 10, 300_000, clBigWrite - 1, 200_000}},
		{"very big ones", []int{8 << 20, 5, 1 << 20, 5}},
		{"and empty ones", []int{0, 10, 0, 20_000, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			total := 0
			var sizes []int
			for i := 0; total < 2<<20; i++ {
				sizes = append(sizes, tt.sizes[i%len(tt.sizes)])
				total += sizes[i]
			}
			want := streamOf(8, total)
			clEach(t, func(s *clSide) {
				peer, _, _ := s.connect(func(c *conn.Conn) {
					at := 0
					for _, n := range sizes {
						if m, err := c.Write(want[at : at+n]); m != n || err != nil {
							s.Errorf("Write of %d = %d, %v", n, m, err)
							return
						}
						at += n
					}
				})
				s.receives(peer, want)
			})
		})
	}
}

// Goroutines that write at once do not get into each other's writes, and each
// one's stay in order.
func TestWritesAreWhole(t *testing.T) {
	const writers, header = 8, 9
	for _, tt := range []struct {
		name           string
		small, big     int // bytes at most
		oneInSo        int // writes is big
		each, sockSize int // writes of each; of the send buffer
		highWater      int
	}{
		{"small", 3000, 0, 0, 200, 0, 64 << 10},
		{"big", 0, 300_000, 1, 8, 0, 64 << 10},
		{"mixed", 3000, 200_000, 4, 40, 0, 64 << 10},
		{"mixed, a narrow socket", 3000, 100_000, 4, 30, 8 << 10, 64 << 10},
		{"mixed, hardly any queue", 3000, 50_000, 8, 40, 8 << 10, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clEach(t, func(s *clSide) {
				peer, _, _ := s.connect(func(c *conn.Conn) {
					if tt.sockSize > 0 {
						c.SetWriteBuffer(tt.sockSize)
					}
					write := func(who int) {
						r := rand.New(rand.NewPCG(uint64(who), 9))
						for i := range tt.each {
							most := tt.small
							if tt.oneInSo > 0 && r.IntN(tt.oneInSo) == 0 {
								most = tt.big
							}
							b := append(make([]byte, header), bytes.Repeat([]byte{byte(who*tt.each + i)}, r.IntN(max(most, 1)))...)
							b[0] = byte(who)
							binary.BigEndian.PutUint32(b[1:], uint32(i))
							binary.BigEndian.PutUint32(b[5:], uint32(len(b)-header))
							s.write(c, b, len(b))
						}
					}
					var wg sync.WaitGroup
					for who := range writers - 1 {
						wg.Go(func() { write(who) })
					}
					write(writers - 1) // the worker itself is one of them
					wg.Wait()
				})
				var next [writers]int
				for head := make([]byte, header); ; {
					if _, err := io.ReadFull(peer, head); err == io.EOF {
						break
					} else if err != nil {
						s.Fatalf("%v, after %v: %s", err, next, s.ln.Dump())
					}
					who, i, n := int(head[0]), int(binary.BigEndian.Uint32(head[1:])), int(binary.BigEndian.Uint32(head[5:]))
					if who >= writers || i != next[who] || n > max(tt.small, tt.big) {
						s.Fatalf("write %d of %d, with %d bytes, where %v are next", i, who, n, next)
					}
					next[who]++
					body := make([]byte, n)
					if _, err := io.ReadFull(peer, body); err != nil {
						s.Fatal(err)
					}
					if bytes.Count(body, []byte{byte(who*tt.each + i)}) != n {
						s.Fatalf("write %d of %d is not in one piece", i, who)
					}
				}
				for who, n := range next {
					if n != tt.each {
						s.Errorf("%d of %d writes of %d have come", n, tt.each, who)
					}
				}
			}, conn.WithHighWater(tt.highWater))
		})
	}
}

// A peer that does not read stops who writes to it: what is queued is bounded, a
// deadline ends the Write, and nothing that Write has taken is lost by that.
func TestWriteBackpressure(t *testing.T) {
	for _, tt := range []struct {
		name             string
		piece, highWater int
		early            bool // the deadline is set before Write
	}{
		{"tiny writes", 100, 10_000, false},
		{"small writes", 4 << 10, 64 << 10, false},
		{"small writes, a high mark", 4 << 10, 1 << 20, false},
		{"nearly big writes", clBigWrite - 1, 1, false},
		{"big writes", clBigWrite, 64 << 10, false},
		{"one very big Write", 64 << 20, 64 << 10, false},
		{"small writes, deadline before", 4 << 10, 64 << 10, true},
		{"one very big Write, deadline before", 64 << 20, 64 << 10, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			more := streamOf(10, 300_000)
			clEach(t, func(s *clSide) {
				var written atomic.Int64
				ended, goOn := make(chan struct{}), make(chan struct{})
				peer, c, _ := s.connect(func(c *conn.Conn) {
					defer func() {
						<-goOn
						s.write(c, more, 10_000)
						s.write(c, more, len(more))
					}()
					defer close(ended)
					if tt.early {
						c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
					}
					b := make([]byte, tt.piece)
					for {
						n, err := c.Write(b)
						if written.Add(int64(n)); err == nil {
							continue
						}
						var ne net.Error
						if !errors.As(err, &ne) || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) || n == tt.piece {
							s.Errorf("Write = %d, %v, want a timeout", n, err)
						}
						break
					}
					if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
						s.Errorf("Write after the deadline = %d, %v", n, err)
					}
				})
				if !tt.early {
					s.blocked("writers")
					c.SetWriteDeadline(time.Now())
				}
				s.wait(ended, "Write")
				taken := written.Load()
				queued := taken - int64(s.ln.Stats().BytesOut)
				if most := int64(tt.highWater) + clBigWrite - 1; queued < 0 || queued > most {
					s.Errorf("%d bytes are queued, want %d at most", queued, most)
				}
				c.SetWriteDeadline(time.Time{})
				close(goOn)
				peer.SetDeadline(time.Now().Add(patience))
				if n, err := io.CopyN(io.Discard, peer, taken); err != nil {
					s.Fatalf("%d of %d: %v: %s", n, taken, err, s.ln.Dump())
				}
				s.receives(peer, append(more[:len(more):len(more)], more...))
			}, conn.WithHighWater(tt.highWater))
		})
	}
}

// A Write that blocks goes on when the peer reads, without a deadline's help.
func TestWriteGoesOn(t *testing.T) {
	const step = 1 << 20
	for _, tt := range []struct {
		name  string
		piece int
	}{
		{"small writes", 1000},
		{"one big Write", 8 * step},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := streamOf(11, 8*step)
			clEach(t, func(s *clSide) {
				peer, _, _ := s.connect(func(c *conn.Conn) {
					c.SetWriteBuffer(64 << 10) // or the kernel, in the end, takes all there is
					s.write(c, want, tt.piece)
				})
				peer.(interface{ SetReadBuffer(int) error }).SetReadBuffer(64 << 10)
				for at := 0; at < len(want)/2; at += step {
					s.blocked("writers")
					got := make([]byte, step)
					if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, want[at:at+step]) {
						s.Fatalf("at %d: %v: %s", at, err, s.ln.Dump())
					}
				}
				s.receives(peer, want[len(want)/2:])
			})
		})
	}
}

// What a handler writes just before it blocks reaches the client meanwhile: the
// loop it keeps is taken from it. So it is for its neighbours on that loop.
func TestWriteBeforeBlocking(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sizes []int
	}{
		{"one small", []int{10}},
		{"several small", []int{10, 2000, 10}},
		{"many small", clTimes(3000, 100)},
		{"big", []int{100_000}},
		{"small and big", []int{10, 100_000, 10}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			total := 0
			for _, n := range tt.sizes {
				total += n
			}
			want := streamOf(12, total)
			clEach(t, func(s *clSide) {
				release := make(chan struct{})
				var peers []net.Conn
				for range 3 {
					peer, _, _ := s.connect(func(c *conn.Conn) {
						at := 0
						for _, n := range tt.sizes {
							s.write(c, want[at:at+n], n)
							at += n
						}
						<-release
						s.write(c, want, len(want))
					})
					peers = append(peers, peer)
				}
				for i, peer := range peers {
					got := make([]byte, total)
					if n, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, want) {
						s.Errorf("client %d, after %d of %d: %v: %s", i, n, total, err, s.ln.Dump())
					}
				}
				close(release)
				for _, peer := range peers {
					s.receives(peer, want)
				}
			})
		})
	}
}

// The same where no event has brought the handler there, but a deadline that has
// passed, or another goroutine: the loop is then awake without its kernel's doing.
func TestWriteBeforeBlockingWokenByOthers(t *testing.T) {
	for _, tt := range []struct {
		name     string
		deadline bool
	}{
		{"a deadline", true},
		{"another goroutine", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clEach(t, func(s *clSide) {
				release := make(chan struct{})
				peer, c, _ := s.connect(func(c *conn.Conn) {
					if tt.deadline {
						// Far enough away for everything to fall asleep.
						c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
					}
					if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
						s.Errorf("Read: %v, want a timeout", err)
					}
					s.write(c, []byte("meanwhile"), 9)
					<-release
				})
				defer close(release)
				if !tt.deadline {
					s.blocked("readers")
					c.SetReadDeadline(time.Now())
				}
				got := make([]byte, 9)
				if n, err := io.ReadFull(peer, got); err != nil || string(got) != "meanwhile" {
					s.Errorf("%q, %v: %s", got[:n], err, s.ln.Dump())
				}
			})
		})
	}
}

// clTimes is n times size.
func clTimes(size, n int) (sizes []int) {
	for range n {
		sizes = append(sizes, size)
	}
	return sizes
}
