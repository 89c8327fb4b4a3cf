//go:build linux && (amd64 || arm64)

package conn_test

import (
	"bufio"
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller/pollertest"
)

var dispatches = map[string]conn.Dispatch{
	"adaptive": conn.DispatchAdaptive, "inline": conn.DispatchInline, "goroutine": conn.DispatchGoroutine,
}

// onEachDispatch runs test with handlers wherever they may run, on one loop.
func onEachDispatch(t *testing.T, test func(*testing.T, conn.Option)) {
	for name, d := range dispatches {
		t.Run(name, func(t *testing.T) {
			pollertest.NoLeaks(t)
			test(t, conn.WithDispatch(d))
		})
	}
}

// A connection that is at a boundary holds no worker; what comes later is a burst
// of its own, and Close in between is nothing to the one that has ended.
func TestBurstsEndAtBoundaries(t *testing.T) {
	onEachDispatch(t, func(t *testing.T, dispatch conn.Option) {
		var bursts atomic.Int32
		idle := make(chan struct{}, 10)
		ln := served(t, serveFunc{serve: func(c *conn.Conn) {
			bursts.Add(1)
			in := bufio.NewReader(c)
			for {
				line, err := in.ReadString('\n')
				if errors.Is(err, conn.ErrBurstOver) {
					if !conn.BurstOf(c).Over() {
						t.Error("the burst is not over")
					}
					c.Close() // does nothing: the connection is between two requests
					idle <- struct{}{}
					return
				}
				if err != nil {
					c.Close()
					return
				}
				conn.BurstOf(c).AtBoundary(nil)
				io.WriteString(c, line)
				conn.BurstOf(c).AtBoundary(conn.ErrBurstOver)
			}
		}}, conn.WithLoops(1), dispatch)
		peer := dialed(t, ln)
		in := bufio.NewReader(peer)
		for i := range 3 {
			io.WriteString(peer, "request\n")
			if line, err := in.ReadString('\n'); err != nil || line != "request\n" {
				t.Fatalf("%q, %v", line, err)
			}
			sfWait(t, "the end of a burst", idle)
			if n := bursts.Load(); n != int32(i+1) {
				t.Errorf("%d bursts after %d requests", n, i+1)
			}
		}
		peer.Close()
	})
}

// A Read and a Close by somebody else have nothing to do with the worker's boundary,
// and do not look at it. (The race detector says if they do.)
func TestBoundariesAreTheWorkers(t *testing.T) {
	onEachDispatch(t, func(t *testing.T, dispatch conn.Option) {
		ended := make(chan error, 1)
		ln := served(t, serveFunc{serve: func(c *conn.Conn) {
			b := conn.BurstOf(c)
			c.Read(make([]byte, 1))
			go func() {
				_, err := c.Read(make([]byte, 1)) // waits
				c.Close()
				ended <- err
			}()
			for range 1000 {
				b.AtBoundary(conn.ErrBurstOver)
				b.AtBoundary(nil)
			}
			c.Write([]byte("ready"))
		}}, conn.WithLoops(1), dispatch)
		peer := dialed(t, ln)
		peer.Write([]byte("x"))
		if _, err := io.ReadFull(peer, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		peer.Close()
		if err := sfWait(t, "the other's Read", ended); err != io.EOF {
			t.Errorf("the other's Read: %v", err)
		}
	})
}

// A handler that ends its goroutine, as a test's FailNow does, costs its own
// connection and nobody else's.
func TestHandlerEndsItsGoroutine(t *testing.T) {
	onEachDispatch(t, func(t *testing.T, dispatch conn.Option) {
		ln := served(t, serveFunc{serve: func(c *conn.Conn) {
			b := make([]byte, 1)
			if _, err := c.Read(b); err != nil {
				c.Close()
				return
			}
			if b[0] == 'x' {
				runtime.Goexit()
			}
			c.Write(b)
			c.Close()
		}}, conn.WithLoops(1), dispatch)
		for range 3 {
			bad, good := dialed(t, ln), dialed(t, ln)
			io.WriteString(bad, "x")
			if n, err := io.Copy(io.Discard, bad); n != 0 || err != nil {
				t.Errorf("%d bytes, %v; want the end of the stream", n, err)
			}
			io.WriteString(good, "y")
			if b, err := io.ReadAll(good); err != nil || string(b) != "y" {
				t.Errorf("%q, %v", b, err)
			}
		}
	})
}

// A handler that blocks, for whatever reason, keeps nobody waiting, and loses nothing.
func TestHandlersBlock(t *testing.T) {
	for _, name := range []string{"adaptive", "goroutine", "inline"} {
		t.Run(name, func(t *testing.T) {
			pollertest.NoLeaks(t)
			release := make(chan struct{})
			ln := served(t, serveFunc{serve: func(c *conn.Conn) {
				b := make([]byte, 10)
				n, err := c.Read(b)
				if err == nil && b[0] == 'b' {
					<-release
				}
				c.Write(b[:n])
				c.Close()
			}}, conn.WithLoops(1), conn.WithDispatch(dispatches[name]))
			blocked := dialed(t, ln)
			io.WriteString(blocked, "blocks")
			for range 5 {
				c := dialed(t, ln)
				io.WriteString(c, "free")
				if b, err := io.ReadAll(c); err != nil || string(b) != "free" {
					t.Fatalf("%q, %v", b, err)
				}
			}
			close(release)
			if b, err := io.ReadAll(blocked); err != nil || string(b) != "blocks" {
				t.Fatalf("%q, %v", b, err)
			}
		})
	}
}

// Detached, a connection is whoever's it was given to; CloseIdle ends the others.
func TestDetachAndCloseIdle(t *testing.T) {
	onEachDispatch(t, func(t *testing.T, dispatch conn.Option) {
		detached := make(chan *conn.Conn, 1)
		gone := make(chan struct{}, 2)
		ln := served(t, serveFunc{
			open: func(c *conn.Conn) { conn.BurstOf(c).OnGone(func() { gone <- struct{}{} }) },
			serve: func(c *conn.Conn) {
				if conn.BurstOf(c).Ended() == conn.EndedShutdown {
					c.Close()
					return
				}
				b := make([]byte, 1)
				if _, err := c.Read(b); err != nil {
					c.Close()
				} else if b[0] == 'd' {
					conn.BurstOf(c).Detach()
					detached <- c
				}
			},
		}, conn.WithLoops(1), dispatch)
		a, b := dialed(t, ln), dialed(t, ln)
		io.WriteString(a, "d")
		c := sfWait(t, "the detached one", detached)
		io.WriteString(b, "i")
		go func() {
			io.Copy(c, c)
			c.Close()
		}()
		for ended := false; !ended; {
			ln.CloseIdle() // b may be inside its burst, or about to open
			select {
			case <-gone:
				ended = true
			case <-time.After(time.Millisecond):
			}
		}
		if n, err := io.Copy(io.Discard, b); n != 0 || err != nil {
			t.Errorf("the idle one: %d bytes, %v", n, err)
		}
		io.WriteString(a, "still here")
		got := make([]byte, 10)
		if _, err := io.ReadFull(a, got); err != nil || string(got) != "still here" {
			t.Errorf("the detached one: %q, %v", got, err)
		}
		a.Close()
		sfWait(t, "the end of the detached one", gone)
	})
}
