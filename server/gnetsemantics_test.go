//go:build linux && (amd64 || arm64)

package server_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
)

// got waits for something from ch.
func got[T any](t testing.TB, what string, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(generous):
		t.Fatalf("%s: nothing in %v", what, generous)
	}
	return v
}

// The Reader's methods, on the same input, return the same.
func TestGnetReader(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		results := make(chan []string, 1)
		a := &app{traffic: func(c gnet.Conn) gnet.Action {
			if c.InboundBuffered() < 20 {
				return gnet.None
			}
			var log []string
			say := func(b []byte, err error) { log = append(log, string(b)+" "+errName(err)) }
			say(c.Peek(3))
			say(c.Peek(21))
			say(c.Next(2))
			say(c.Next(100))
			p := make([]byte, 5)
			n, err := c.Read(p)
			say(p[:n], err)
			n, err = c.Discard(3)
			say(p[:n], err)
			say(c.Peek(0))
			var w bytes.Buffer
			m, err := c.WriteTo(&w)
			say(w.Bytes(), err)
			say(make([]byte, m), err)
			n, err = c.Read(p)
			say(p[:n], err)
			n, err = c.Discard(1)
			say(p[:n], err)
			n, err = c.Read(nil)
			say(p[:n], err)
			results <- log
			return gnet.None
		}}
		r := start(t, e, a, []string{"tcp"})
		c := r.dial(0)
		mustWrite(t, c, "0123456789")
		mustWrite(t, c, "abcdefghij")
		want := []string{
			"012 nil", " short buffer", "01 nil", " short buffer", "23456 nil", "234 nil", "abcdefghij nil", "abcdefghij nil",
			strings.Repeat("\x00", 10) + " nil", " short buffer", " nil", " nil",
		}
		if log := got(t, "the results", results); !slices.Equal(log, want) {
			t.Errorf("results\n%q, want\n%q", log, want)
		}
	})
}

// Unread bytes stay, do not fire by themselves, and are there after a Wake.
func TestGnetWake(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		conns, seen := make(chan gnet.Conn, 1), make(chan string, 10)
		a := &app{
			open: func(c gnet.Conn) ([]byte, gnet.Action) { conns <- c; return nil, gnet.None },
			traffic: func(c gnet.Conn) gnet.Action {
				b, _ := c.Peek(-1)
				seen <- string(b)
				return gnet.None
			},
		}
		r := start(t, e, a, []string{"tcp"})
		client := r.dial(0)
		c := got(t, "OnOpen", conns)
		woken := make(chan error, 1)
		wake := func() {
			t.Helper()
			c.Wake(func(same gnet.Conn, err error) error {
				if same != c {
					t.Error("the callback gets another connection")
				}
				woken <- err
				return nil
			})
			if err := got(t, "Wake's callback", woken); err != nil {
				t.Error(err)
			}
		}
		wake()
		if s := got(t, "OnTraffic", seen); s != "" {
			t.Errorf("woken with %q", s)
		}
		mustWrite(t, client, "left over")
		for s := ""; s != "left over"; {
			s = got(t, "OnTraffic", seen)
		}
		wake()
		if s := got(t, "OnTraffic", seen); s != "left over" {
			t.Errorf("woken with %q", s)
		}
		if len(seen) > 0 {
			t.Errorf("OnTraffic again, with %q", <-seen)
		}
	})
}

// A connection that wakes itself again and again keeps nobody waiting. (On gnet it
// has its loop for itself.)
func TestGnetWakesItself(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		if e.name == gnetItself.name {
			return
		}
		var wakes atomic.Int32
		a := &app{traffic: func(c gnet.Conn) gnet.Action {
			b, _ := c.Next(-1)
			if c.Context() == "waker" || string(b) == "!" {
				c.SetContext("waker")
				wakes.Add(1)
				c.Wake(nil)
				return gnet.None
			}
			c.Write(b)
			return gnet.None
		}}
		r := start(t, e, a, []string{"tcp"})
		waker, other := r.dial(0), r.dial(0)
		mustWrite(t, waker, "!") // one byte: what a receive cannot cut in two
		for wakes.Load() < 100 {
			mustWrite(t, other, "echo")
			mustRead(t, other, "echo")
		}
		mustWrite(t, other, "echo")
		mustRead(t, other, "echo")
	})
}

// Every callback may close the connection; OnClose comes once, with the reason.
func TestGnetCloses(t *testing.T) {
	closing := func(gnet.Conn) gnet.Action { return gnet.Close }
	for _, tt := range []struct {
		name   string
		app    func() *app
		client func(t *testing.T, c net.Conn)
		read   string
		events string
	}{
		{"OnOpen", func() *app {
			return &app{open: func(gnet.Conn) ([]byte, gnet.Action) { return []byte("bye"), gnet.Close }}
		}, func(*testing.T, net.Conn) {}, "bye", "open close:nil"},
		{"OnTraffic", func() *app {
			return &app{traffic: func(c gnet.Conn) gnet.Action { echo(c); return gnet.Close }}
		}, func(t *testing.T, c net.Conn) { mustWrite(t, c, "ping") }, "ping", "open traffic close:nil"},
		{"OnClose twice", func() *app {
			return &app{traffic: closing, close: func(gnet.Conn, error) gnet.Action { return gnet.Close }}
		}, func(t *testing.T, c net.Conn) { mustWrite(t, c, "x") }, "", "open traffic close:nil"},
		{"Close in OnTraffic", func() *app {
			return &app{traffic: func(c gnet.Conn) gnet.Action { echo(c); c.Close(); c.Close(); return gnet.None }}
		}, func(t *testing.T, c net.Conn) { mustWrite(t, c, "ping") }, "ping", "open traffic close:nil"},
		{"EventLoop.Close in OnTraffic", func() *app {
			return &app{traffic: func(c gnet.Conn) gnet.Action { echo(c); c.EventLoop().Close(c); return gnet.None }}
		}, func(t *testing.T, c net.Conn) { mustWrite(t, c, "ping") }, "ping", "open traffic close:nil"},
		{"written in OnClose", func() *app {
			return &app{traffic: func(c gnet.Conn) gnet.Action { echo(c); return gnet.Close },
				close: func(c gnet.Conn, _ error) gnet.Action { c.Write([]byte("!")); return gnet.None }}
		}, func(t *testing.T, c net.Conn) { mustWrite(t, c, "ping") }, "ping!", "open traffic close:nil"},
		{"the peer", func() *app { return &app{traffic: echo} },
			func(t *testing.T, c net.Conn) { c.(*net.TCPConn).CloseWrite() }, "", "open close:eof"},
		{"the peer, with a last word", func() *app { return &app{traffic: echo} },
			func(t *testing.T, c net.Conn) { mustWrite(t, c, "ping"); c.(*net.TCPConn).CloseWrite() }, "ping", "open traffic close:eof"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEachEngine(t, func(t *testing.T, e engine) {
				r := start(t, e, tt.app(), []string{"tcp"})
				c := r.dial(0)
				tt.client(t, c)
				mustRead(t, c, tt.read)
				mustEnd(t, c)
				r.until(0, tt.events)
			})
		})
	}
}

func TestGnetReset(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		closed := make(chan error, 1)
		a := &app{
			open:  func(gnet.Conn) ([]byte, gnet.Action) { return []byte("hello"), gnet.None },
			close: func(_ gnet.Conn, err error) gnet.Action { closed <- err; return gnet.None },
		}
		r := start(t, e, a, []string{"tcp"})
		c := r.dial(0)
		mustRead(t, c, "hello")
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
		err := got(t, "OnClose", closed)
		var call *os.SyscallError
		if !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &call) || call.Syscall != "read" {
			t.Errorf("OnClose with %v, want read: connection reset by peer", err)
		}
	})
}

// Whatever other goroutines ask for is done on the loop, in their order; after the
// end the callbacks are told.
func TestGnetAsync(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		conns := make(chan gnet.Conn, 1)
		r := start(t, e, &app{open: func(c gnet.Conn) ([]byte, gnet.Action) { conns <- c; return nil, gnet.None }}, []string{"tcp"})
		client := r.dial(0)
		c := got(t, "OnOpen", conns)
		var order []int // no lock: callbacks of one connection do not run at once
		var want strings.Builder
		for i := range 100 {
			b := []byte{byte('a' + i%26)}
			want.Write(b)
			cb := func(_ gnet.Conn, err error) error {
				if err != nil {
					t.Error(err)
				}
				order = append(order, i)
				return nil
			}
			if i%2 == 0 {
				c.AsyncWrite(b, cb)
			} else {
				c.AsyncWritev([][]byte{b}, cb)
			}
		}
		mustRead(t, client, want.String())
		closed := make(chan []int, 1)
		c.CloseWithCallback(func(gnet.Conn, error) error { closed <- slices.Clone(order); return nil })
		if o := got(t, "CloseWithCallback's callback", closed); !slices.IsSorted(o) || len(o) != 100 {
			t.Errorf("callbacks in the order %v", o)
		}
		mustEnd(t, client)
		late := make(chan error, 4)
		note := func(_ gnet.Conn, err error) error { late <- err; return nil }
		c.AsyncWrite([]byte("late"), note)
		c.AsyncWritev([][]byte{[]byte("late")}, note)
		for range 2 {
			if err := got(t, "a callback", late); !errors.Is(err, net.ErrClosed) {
				t.Errorf("after the end: %v, want net.ErrClosed", err)
			}
		}
		c.Wake(note)
		c.CloseWithCallback(note)
		for range 2 {
			if err := got(t, "a callback", late); err != nil {
				t.Errorf("after the end: %v", err)
			}
		}
		r.until(0, "open close:nil")
	})
}

// Shutdown from any callback ends Run, with OnShutdown, and OnClose for what is open.
func TestGnetShutdowns(t *testing.T) {
	for _, tt := range []struct {
		name string
		app  func() *app
		poke bool // it takes a connection, and a byte
	}{
		{"OnTraffic", func() *app { return &app{traffic: func(gnet.Conn) gnet.Action { return gnet.Shutdown }} }, true},
		{"OnOpen", func() *app {
			return &app{open: func(gnet.Conn) ([]byte, gnet.Action) { return nil, gnet.Shutdown }}
		}, true},
		{"OnClose", func() *app {
			return &app{traffic: func(gnet.Conn) gnet.Action { return gnet.Close }, close: func(gnet.Conn, error) gnet.Action { return gnet.Shutdown }}
		}, true},
		{"OnTick", func() *app {
			return &app{tick: func() (time.Duration, gnet.Action) { return time.Hour, gnet.Shutdown }}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEachEngine(t, func(t *testing.T, e engine) {
				r := start(t, e, tt.app(), []string{"tcp"}, gnet.WithTicker(true))
				if tt.poke {
					c := r.dial(0)
					c.Write([]byte("x"))
					mustEndSomehow(c)
					c.Close() // what was not read of it is waited for, as long as it may send more
				}
				r.ended()
				r.until(-1, "boot shutdown")
				if events := r.of(0); tt.poke && strings.Count(events, "close:") != 1 {
					t.Errorf("events %q: OnClose not once", events)
				}
				if err := r.eng.Validate(); !errors.Is(err, gneterrors.ErrEngineInShutdown) {
					t.Errorf("Validate after the end: %v", err)
				}
			})
		})
	}
	t.Run("OnBoot", func(t *testing.T) {
		onEachEngine(t, func(t *testing.T, e engine) {
			a := &app{boot: func(gnet.Engine) gnet.Action { return gnet.Shutdown }}
			a.engine, a.ids = make(chan gnet.Engine, 1), map[gnet.Conn]int{}
			addr := freeAddr(t, "tcp")
			if err := e.run(a, []string{addr}, gnet.WithLogger(silent)); err != nil {
				t.Error(err)
			}
			if s := a.of(-1); s != "boot" {
				t.Errorf("events %q, want boot alone", s)
			}
			if c, err := net.Dial("tcp", hostPort(addr)); err == nil {
				c.Close()
				t.Error("it still listens")
			}
		})
	})
}

// mustEndSomehow reads to the end of the stream; a reset will do.
func mustEndSomehow(c net.Conn) { io.Copy(io.Discard, c) }

func TestGnetTicks(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		ticks := make(chan struct{}, 100)
		r := start(t, e, &app{tick: func() (time.Duration, gnet.Action) {
			ticks <- struct{}{}
			return time.Millisecond, gnet.None
		}}, []string{"unix"}, gnet.WithTicker(true))
		for range 5 {
			got(t, "OnTick", ticks)
		}
		r.stop()
	})
}

// A Stop with connections open closes them all.
func TestGnetStop(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		r := start(t, e, &app{traffic: echo}, []string{"tcp", "unix"}, gnet.WithNumEventLoop(2))
		const conns = 20
		for i := range conns {
			c := r.dial(i % 2)
			mustWrite(t, c, "x")
			mustRead(t, c, "x")
			defer mustEndSomehow(c)
		}
		r.stop()
		for i := range conns {
			r.until(i, "open traffic close:nil")
		}
		r.until(-1, "boot shutdown")
		for _, addr := range r.addr {
			network, a, _ := strings.Cut(addr, "://")
			if c, err := net.Dial(network, a); err == nil {
				c.Close()
				t.Errorf("%s still listens", addr)
			}
		}
	})
}

// With one loop callbacks never run at once, and need no locks.
func TestGnetOneLoopIsOneThread(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		if strings.Contains(e.name, "goroutines") {
			return
		}
		sums := make(map[gnet.Conn]int) // the race detector watches
		total := 0
		a := &app{
			open:  func(c gnet.Conn) ([]byte, gnet.Action) { sums[c] = 0; return nil, gnet.None },
			close: func(c gnet.Conn, _ error) gnet.Action { delete(sums, c); return gnet.None },
			traffic: func(c gnet.Conn) gnet.Action {
				for until := time.Now().Add(3 * time.Millisecond); time.Now().Before(until); {
				}
				b, _ := c.Next(-1)
				sums[c] += len(b)
				total += len(b)
				c.Write(b)
				return gnet.None
			},
		}
		r := start(t, e, a, []string{"tcp", "unix"})
		var all sync.WaitGroup
		for i := range 6 {
			c := r.dial(i % 2)
			all.Go(func() {
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
		r.stop()
		if total != 60 || len(sums) != 0 {
			t.Errorf("%d bytes of 60, %d connections left", total, len(sums))
		}
	})
}

// A client that does not read loses nothing, and stops nobody.
func TestGnetSlowReader(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		const pieces, size = 100, 100_000
		a := &app{traffic: func(c gnet.Conn) gnet.Action {
			if b, _ := c.Next(-1); b[0] == 'p' {
				c.Write([]byte("pong"))
				return gnet.None
			}
			for i := range pieces {
				b := bytes.Repeat([]byte{byte(i)}, size)
				c.Write(b)
				clear(b)
				c.Write([]byte{'!'})
			}
			return gnet.None
		}}
		r := start(t, e, a, []string{"tcp"})
		slow, quick := r.dial(0), r.dial(0)
		mustWrite(t, slow, "all")
		for range 10 {
			mustWrite(t, quick, "p")
			mustRead(t, quick, "pong")
		}
		for i := range pieces {
			mustRead(t, slow, strings.Repeat(string([]byte{byte(i)}), size)+"!")
		}
	})
}
