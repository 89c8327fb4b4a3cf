//go:build linux && (amd64 || arm64)

package conn_test

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
)

// pinged has the loops of ln turn many times.
func pinged(t *testing.T, ln *conn.Listener) {
	t.Helper()
	c := dialed(t, ln)
	for range 200 {
		c.Write([]byte("p"))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatalf("a ping: %v: %s", err, ln.Dump())
		}
	}
}

// A Handler that leaves things as they are is not called for them again and again:
// not for the end of a stream, not for a connection that has failed, not for bytes
// that it does not read. Something new has it called again.
func TestServedOnceForEachThing(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(c *net.TCPConn)
	}{
		{"the end of the stream", func(c *net.TCPConn) { c.CloseWrite() }},
		{"a reset", func(c *net.TCPConn) { c.SetLinger(0); c.Close() }},
		{"bytes that are not read", func(c *net.TCPConn) { c.Write([]byte("x")) }},
		{"bytes that are not read, and the end", func(c *net.TCPConn) { c.Write([]byte("x")); c.CloseWrite() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEachDispatch(t, func(t *testing.T, dispatch conn.Option) {
				var odd atomic.Pointer[conn.Conn]
				var calls atomic.Int64
				called := make(chan struct{}, 1)
				ln := served(t, serveFunc{
					open: func(c *conn.Conn) { odd.CompareAndSwap(nil, c) },
					serve: func(c *conn.Conn) {
						if c != odd.Load() {
							echoOnce(c)
						} else if calls.Add(1) == 1 {
							called <- struct{}{}
						}
					},
				}, conn.WithLoops(1), dispatch)
				nc, err := net.Dial("tcp", ln.Addr().String())
				sfMust(t, err)
				tt.do(nc.(*net.TCPConn))
				sfWait(t, "a call", called)
				pinged(t, ln)
				if n := calls.Load(); n > 4 { // the bytes, the end, and each once more if it has come in a call
					t.Errorf("the Handler was called %d times", n)
				}
				nc.Close()
				odd.Load().Close()
			})
		})
	}
}

// echoOnce answers what has come, or closes.
func echoOnce(c *conn.Conn) {
	b := make([]byte, 16)
	n, err := c.Read(b)
	if err != nil {
		c.Close()
		return
	}
	c.Write(b[:n])
}

// What comes while a burst runs that does not read is served after it.
func TestServedForWhatComesMeanwhile(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(c *net.TCPConn)
		want string
	}{
		{"bytes", func(c *net.TCPConn) { c.Write([]byte("x")) }, "x"},
		{"the end of the stream", func(c *net.TCPConn) { c.CloseWrite() }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEachDispatch(t, func(t *testing.T, dispatch conn.Option) {
				opened, began, goOn := make(chan *conn.Conn, 1), make(chan struct{}), make(chan struct{})
				got := make(chan string, 1)
				var odd atomic.Pointer[conn.Conn]
				var bursts atomic.Int64
				ln := served(t, serveFunc{
					open: func(c *conn.Conn) {
						if odd.CompareAndSwap(nil, c) {
							opened <- c
						}
					},
					serve: func(c *conn.Conn) {
						if c != odd.Load() {
							echoOnce(c)
							return
						}
						if bursts.Add(1) == 1 {
							close(began)
							<-goOn
							return
						}
						b := make([]byte, 16)
						n, _ := c.Read(b)
						got <- string(b[:n])
						c.Close()
					},
				}, conn.WithLoops(1), dispatch)
				nc := dialed(t, ln).(*net.TCPConn)
				c := sfWait(t, "the connection", opened)
				conn.BurstOf(c).Poke()
				sfWait(t, "the first burst", began)
				tt.do(nc)
				pinged(t, ln) // behind what was done, on the same loop
				close(goOn)
				if s := sfWait(t, "a second burst", got); s != tt.want {
					t.Errorf("it reads %q, want %q", s, tt.want)
				}
			})
		})
	}
}

// What Write has accepted is subject to the write deadline, as what waits in Write is:
// the peer that takes nothing is not kept, nor is what it was to get.
func TestWriteDeadlineOfWhatIsQueued(t *testing.T) {
	clEach(t, func(s *clSide) {
		late := make(chan error, 2)
		_, c, done := s.connect(func(c *conn.Conn) {
			fillSocket(s.T, c)
			for in := 20 * time.Millisecond; ; in *= 2 {
				c.SetWriteDeadline(time.Now().Add(in))
				_, err := c.Write(make([]byte, 10<<10))
				if err == nil {
					break
				}
				if !errors.Is(err, os.ErrDeadlineExceeded) || in > patience { // it has not passed before the Write
					s.Errorf("a Write below the high-water mark: %v", err)
					break
				}
			}
			_, err := c.Read(make([]byte, 1)) // as one who waits for the next request
			late <- err
			_, err = c.Write([]byte("x"))
			late <- err
		})
		for _, what := range []string{"Read", "Write"} {
			if err := sfWait(s.T, what, late); !errors.Is(err, os.ErrDeadlineExceeded) {
				s.Errorf("%s: %v, want a deadline that has passed", what, err)
			}
		}
		c.Close()
		s.wait(done, "the side")
		s.until("it is closed, and not after the linger limit", func() bool { return s.ln.Stats().Open == 0 })
	}, conn.WithLinger(time.Hour))
}

// fillSocket fills the socket of c, as earlier answers would have, and what its peer
// takes without reading.
func fillSocket(t *testing.T, c *conn.Conn) {
	t.Helper()
	c.SetWriteBuffer(4096)
	err := sfRaw(t, c).Control(func(fd uintptr) {
		for full := false; !full; {
			var err error
			for err == nil {
				_, err = unix.SendmsgN(int(fd), make([]byte, 4096), nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
			}
			if err != unix.EAGAIN {
				t.Errorf("filling a socket: %v", err)
				return
			}
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 300) // longer than an ACK is put off
			full = n == 0 && err == nil
		}
	})
	sfMust(t, err)
}

// A write deadline that some Write was told of leaves the connection as it is.
func TestWriteDeadlineThatWasTold(t *testing.T) {
	clEach(t, func(s *clSide) {
		const queued, waiting = 10 << 10, 100 << 10
		told := make(chan error, 1)
		peer, _, _ := s.connect(func(c *conn.Conn) {
			fillSocket(s.T, c)
			c.Write(make([]byte, queued))
			c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
			n, err := c.Write(make([]byte, waiting))
			if n != 0 {
				s.Errorf("%d bytes were written into a full socket", n)
			}
			told <- err
			c.SetWriteDeadline(time.Time{})
			if _, err := c.Write([]byte("!")); err != nil {
				s.Errorf("after the deadline was lifted: %v", err)
			}
			c.Read(make([]byte, 1))
		})
		if err := sfWait(s.T, "Write", told); !errors.Is(err, os.ErrDeadlineExceeded) {
			s.Errorf("Write: %v, want a deadline that has passed", err)
		}
		peer.SetDeadline(time.Now().Add(patience))
		b := make([]byte, 1)
		for b[0] != '!' {
			if _, err := io.ReadFull(peer, b); err != nil {
				s.Fatalf("what was queued is lost: %v", err)
			}
		}
	})
}
