//go:build linux && (amd64 || arm64)

package conn_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/poller/faulty"
	"github.com/escahttp/esca/poller/pollertest"
)

// served listens and has h serve until the test is over, when every loop ends.
func served(t *testing.T, h conn.Handler, opts ...conn.Option) *conn.Listener {
	t.Helper()
	ln := listen(t, "tcp", "127.0.0.1:0", opts...)
	if err := ln.Start(h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sfEnds(t, ln) })
	return ln
}

// inputEcho echoes by Input, TryRead and Enqueue, as an event-driven front end.
type inputEcho struct {
	buffer int // of TryRead
	ended  chan error
}

func (h inputEcho) Open(*conn.Burst) {}

func (h inputEcho) Serve(b *conn.Burst) {
	c := b.Conn()
	big := make([]byte, h.buffer)
	for {
		b, more, err := conn.BurstOf(c).Input()
		if err != nil {
			c.Close()
			h.ended <- err
			return
		}
		conn.BurstOf(c).Enqueue(b)
		if n := 0; more {
			n = conn.BurstOf(c).TryRead(big)
			conn.BurstOf(c).Enqueue(big[:n])
		} else {
			return
		}
	}
}

func TestInput(t *testing.T) {
	pollertest.NoLeaks(t)
	quiet := faulty.DefaultRates()
	quiet.Reset = 0
	for _, tt := range []struct {
		name string
		opts []conn.Option
	}{
		{"direct", []conn.Option{conn.WithDispatch(conn.DispatchDirect)}},
		{"goroutines", []conn.Option{conn.WithDispatch(conn.DispatchGoroutine)}},
		{"coroutines", []conn.Option{conn.WithDispatch(conn.DispatchInline)}},
		{"small slots", []conn.Option{conn.WithDispatch(conn.DispatchDirect), conn.WithMemory(poller.Config{Slots: 2, SlotSize: 128})}},
		{"threads", []conn.Option{conn.WithDispatch(conn.DispatchDirect), conn.WithThreads()}},
		{"faulty", []conn.Option{conn.WithDispatch(conn.DispatchDirect), conn.WithFactory(faulty.New(3, poller.Direct, faulty.WithRates(quiet)))}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := inputEcho{3000, make(chan error, 8)}
			ln := served(t, h, append(tt.opts, conn.WithLoops(1))...)
			var all sync.WaitGroup
			for seed := range uint64(8) {
				all.Go(func() {
					c := dialed(t, ln)
					want := streamOf(seed, streamLen)
					go func() {
						c.Write(want)
						c.(*net.TCPConn).CloseWrite()
					}()
					if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%d bytes of %d, %v, equal %v", len(got), len(want), err, bytes.Equal(got, want))
					}
				})
			}
			all.Wait()
			for range 8 {
				if err := sfWait(t, "the end of a stream", h.ended); err != io.EOF {
					t.Errorf("ended with %v, want io.EOF", err)
				}
			}
		})
	}
}

// A peer that does not read makes no Enqueue wait, and gets everything in the end.
func TestEnqueueNeverWaits(t *testing.T) {
	pollertest.NoLeaks(t)
	const pieces, size = 200, 50_000
	queued := make(chan int, 1)
	ln := served(t, serveFunc{open: func(c *conn.Conn) {
		for i := range pieces {
			b := bytes.Repeat([]byte{byte(i)}, size)
			if n, err := conn.BurstOf(c).Enqueue(b); n != size || err != nil {
				t.Errorf("Enqueue: %d, %v", n, err)
			}
			clear(b) // it is not kept
			conn.BurstOf(c).Enqueue([]byte{'x'})
		}
		if err := conn.BurstOf(c).Flush(); err != nil {
			t.Error(err)
		}
		queued <- conn.BurstOf(c).Queued()
		c.Close()
	}, serve: func(*conn.Conn) {}}, conn.WithLoops(1))
	c := dialed(t, ln)
	if n := sfWait(t, "Queued", queued); n < pieces*size/2 {
		t.Errorf("%d bytes queued, of %d that nobody has read", n, pieces*(size+1))
	}
	for i := range pieces {
		got := make([]byte, size+1)
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got[:size], bytes.Repeat([]byte{byte(i)}, size)) || got[size] != 'x' {
			t.Fatalf("piece %d: %v", i, err)
		}
	}
	if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
		t.Fatalf("%d bytes more, %v", n, err)
	}
}

// What Enqueue has queued and cannot be sent is told by one more Serve.
func TestEnqueueFails(t *testing.T) {
	pollertest.NoLeaks(t)
	failing := faulty.New(1, poller.Direct, faulty.WithRates(faulty.Rates{Reset: 1}))
	ended := make(chan error, 1)
	ln := served(t, serveFunc{
		open: func(c *conn.Conn) { conn.BurstOf(c).Enqueue([]byte("hello")) },
		serve: func(c *conn.Conn) {
			if _, _, err := conn.BurstOf(c).Input(); err != nil {
				c.Close()
				ended <- err
			}
		},
	}, conn.WithLoops(1), conn.WithFactory(failing))
	dialed(t, ln)
	if err := sfWait(t, "the error", ended); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("%v, want ECONNRESET", err)
	}
}

func TestEnqueueWriteDeadline(t *testing.T) {
	pollertest.NoLeaks(t)
	ended := make(chan conn.Ended, 1)
	ln := served(t, serveFunc{
		open: func(c *conn.Conn) {
			c.SetLinger(0)
			conn.BurstOf(c).Enqueue(make([]byte, 32<<20))
			c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
		},
		serve: func(c *conn.Conn) {
			if conn.BurstOf(c).Ended() == conn.NotEnded {
				return
			}
			if _, err := conn.BurstOf(c).Enqueue([]byte("late")); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Enqueue after the deadline: %v", err)
			}
			ended <- conn.BurstOf(c).Ended()
			c.Close()
		},
	}, conn.WithLoops(1))
	dialed(t, ln)
	if e := sfWait(t, "the deadline", ended); e != conn.EndedTimeout {
		t.Errorf("Ended %v, want EndedTimeout", e)
	}
}

func TestPoke(t *testing.T) {
	pollertest.NoLeaks(t)
	opened, poked := make(chan *conn.Conn, 1), make(chan bool, 100)
	ln := served(t, serveFunc{
		open:  func(c *conn.Conn) { opened <- c },
		serve: func(c *conn.Conn) { poked <- conn.BurstOf(c).ByWorker() },
	}, conn.WithLoops(1))
	peer := dialed(t, ln)
	c := sfWait(t, "the connection", opened)
	for range 5 {
		if !conn.BurstOf(c).Poke() {
			t.Fatal("Poke of an open connection reports false")
		}
		if !sfWait(t, "a burst", poked) {
			t.Fatal("the burst is not its worker's")
		}
	}
	c.Close()
	if conn.BurstOf(c).Poke() {
		t.Fatal("Poke of a closed connection reports true")
	}
	peer.Close()
}

// Every connection gets to the loop that the balance says, however the loops sleep.
func TestBalance(t *testing.T) {
	pollertest.NoLeaks(t)
	const loops, conns = 3, 60
	for _, tt := range []struct {
		name    string
		balance conn.Balance
		want    func(n [loops]int) bool
	}{
		{"round robin", conn.BalanceRoundRobin, func(n [loops]int) bool { return n == [loops]int{20, 20, 20} }},
		{"least", conn.BalanceLeast, func(n [loops]int) bool { return n[0] >= 18 && n[1] >= 18 && n[2] >= 18 }},
		{"source", conn.BalanceSource, func(n [loops]int) bool { return n[0] == conns || n[1] == conns || n[2] == conns }},
		{"kernel", conn.BalanceKernel, func(n [loops]int) bool { return n[0]+n[1]+n[2] == conns }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			on := make(chan int)
			ln := served(t, serveFunc{
				open:  func(c *conn.Conn) { on <- conn.BurstOf(c).Loop() },
				serve: func(c *conn.Conn) { c.Close() },
			}, conn.WithLoops(loops), conn.WithBalance(tt.balance))
			var n [loops]int
			for range conns {
				dialed(t, ln)
				n[sfWait(t, "an open connection", on)]++
			}
			if !tt.want(n) {
				t.Errorf("connections by loop: %v", n)
			}
			ln.CloseIdle()
		})
	}
}

func TestEnrollAndExecute(t *testing.T) {
	pollertest.NoLeaks(t)
	opened := make(chan *conn.Conn, 1)
	ln := served(t, serveFunc{
		open:  func(c *conn.Conn) { opened <- c },
		serve: func(c *conn.Conn) { io.Copy(c, c); c.Close() },
	}, conn.WithLoops(2))
	other := listen(t, "tcp", "127.0.0.1:0")
	defer sfEnds(t, other)
	for loop := range 2 {
		ran := make(chan struct{})
		if !ln.Execute(loop, func() { close(ran) }) {
			t.Fatal("Execute reports false")
		}
		sfWait(t, "Execute", ran)

		ours, err := net.Dial("tcp", other.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		peer, err := other.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		if err := ln.Enroll(loop, ours, "context"); err != nil {
			t.Fatal(err)
		}
		c := sfWait(t, "Open", opened)
		if conn.BurstOf(c).Loop() != loop || conn.BurstOf(c).Context() != "context" {
			t.Errorf("on loop %d with %v", conn.BurstOf(c).Loop(), conn.BurstOf(c).Context())
		}
		peer.SetDeadline(time.Now().Add(patience))
		io.WriteString(peer, "echo")
		got := make([]byte, 4)
		if _, err := io.ReadFull(peer, got); err != nil || string(got) != "echo" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if err := ln.Enroll(0, nil, nil); err == nil {
		t.Error("a nil connection is enrolled")
	}
}

// What may not run at once does not, though a handler keeps the loop for long.
func TestWithoutSteals(t *testing.T) {
	pollertest.NoLeaks(t)
	for name, opt := range map[string]conn.Option{"steals off": conn.WithSteals(false), "threads": conn.WithThreads()} {
		t.Run(name, func(t *testing.T) {
			var inside, most atomic.Int32
			threads := make(map[int]bool) // without a lock: that is the point
			ln := served(t, serveFunc{serve: func(c *conn.Conn) {
				most.Store(max(most.Load(), inside.Add(1)))
				for until := time.Now().Add(4 * time.Millisecond); time.Now().Before(until); {
				}
				threads[unix.Gettid()] = true
				inside.Add(-1)
				b, _, err := conn.BurstOf(c).Input()
				if err != nil {
					c.Close()
				}
				conn.BurstOf(c).Enqueue(b)
			}}, conn.WithLoops(1), conn.WithDispatch(conn.DispatchDirect), opt)
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					c := dialed(t, ln)
					for range 10 {
						io.WriteString(c, "x")
						if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
							t.Error(err)
							return
						}
					}
					c.Close()
				})
			}
			all.Wait()
			if s := ln.Stats(); s.Steals != 0 || most.Load() != 1 {
				t.Errorf("%d steals, %d handlers at once", s.Steals, most.Load())
			}
			if done := make(chan int, 1); ln.Execute(0, func() { done <- len(threads) }) {
				if n := sfWait(t, "Execute", done); name == "threads" && n != 1 {
					t.Errorf("the loop ran on %d threads", n)
				}
			}
		})
	}
}
