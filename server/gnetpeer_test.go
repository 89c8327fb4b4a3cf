//go:build linux && (amd64 || arm64)

package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"

	"github.com/escahttp/esca/server"
)

// udpSocket is a socket of package net for a connection to be registered with.
func udpSocket(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(generous))
	t.Cleanup(func() { c.Close() })
	return c
}

// mustComeFrom expects a datagram.
func mustComeFrom(t *testing.T, c *net.UDPConn, from net.Addr, want string) {
	t.Helper()
	buf := make([]byte, 1<<16)
	n, who, err := c.ReadFrom(buf)
	if err != nil || string(buf[:n]) != want || who.String() != from.String() {
		t.Fatalf("%.20q from %v, %v; want %.20q from %v", buf[:n], who, err, want, from)
	}
}

// aLoop returns a loop of r's, which serves address 0, a tcp one.
func (r *onEngine) aLoop(loops <-chan gnet.EventLoop) gnet.EventLoop {
	r.dial(0)
	return got(r.t, "a loop", loops)
}

// What a registered udp connection offers, and what it refuses, is gnet's.
func TestGnetPeerIsGnets(t *testing.T) {
	for _, how := range []string{"Register", "Enroll"} {
		t.Run(how, func(t *testing.T) {
			onEachEngine(t, func(t *testing.T, e engine) { peerIsGnets(t, e, how) })
		})
	}
}

func peerIsGnets(t *testing.T, e engine, how string) {
	far, third := udpSocket(t), udpSocket(t)
	isPeer := func(c gnet.Conn) bool { return c.LocalAddr().Network() == "udp" }
	loops, came, closed := make(chan gnet.EventLoop, 1), make(chan string, 10), make(chan error, 10)
	var returns atomic.Int32 // what OnTraffic does
	a := &app{
		open: func(c gnet.Conn) ([]byte, gnet.Action) {
			if !isPeer(c) {
				loops <- c.EventLoop()
				return nil, gnet.None
			}
			return []byte("hello"), gnet.None
		},
		traffic: func(c gnet.Conn) gnet.Action {
			b, _ := c.Peek(-1)
			came <- string(b)
			switch string(b) {
			case "left": // stands before the next
				c.Discard(1)
			case "third":
				c.Next(-1)
				if _, err := c.SendTo(b, third.LocalAddr()); err != nil {
					t.Error(err)
				}
			default:
				c.Next(-1)
				c.Write(b)
			}
			return gnet.Action(returns.Load())
		},
		close: func(c gnet.Conn, err error) gnet.Action {
			if isPeer(c) {
				closed <- err
			}
			return gnet.None
		},
	}
	r := start(t, e, a, []string{"tcp"})
	loop := r.aLoop(loops)
	ctx := gnet.NewContext(t.Context(), "mine")
	var res <-chan gnet.RegisteredResult
	var err error
	if how == "Register" {
		res, err = loop.Register(ctx, far.LocalAddr())
	} else {
		nc, derr := net.Dial("udp", far.LocalAddr().String())
		if derr != nil {
			t.Fatal(derr)
		}
		res, err = loop.Enroll(ctx, nc)
	}
	if err != nil {
		t.Fatal(err)
	}
	rr := got(t, how, res)
	if rr.Err != nil {
		t.Fatal(rr.Err)
	}
	if _, more := <-res; more {
		t.Error("a second result")
	}
	c := rr.Conn
	at := c.LocalAddr()
	mustComeFrom(t, far, at, "hello")
	expect(t, "connections", r.eng.CountConnections() >= 1 || e.name != "gnet", true)
	expect(t, "the peer", c.RemoteAddr().String(), far.LocalAddr().String())
	expect(t, "the context", c.Context(), any("mine"))
	expect(t, "the safe context", c.SafeContext(), any("mine"))
	third.WriteTo([]byte("not the peer's"), at)
	long := string(bytes.Repeat([]byte("z"), 40_000))
	for _, of := range []struct{ sent, seen, answer string }{
		{"a", "a", "a"}, {"left", "left", ""}, {"bc", "eftbc", "eftbc"}, {long, long, long}, {"", "", "empty"}, {"d", "d", "d"},
	} {
		if of.sent == "" && e.name == "gnet" {
			continue // for which it is the end
		}
		far.WriteTo([]byte(of.sent), at)
		expect(t, "OnTraffic's", got(t, "OnTraffic", came), of.seen)
		if of.answer == "empty" {
			mustComeFrom(t, far, at, "")
		} else if of.answer != "" {
			mustComeFrom(t, far, at, of.answer)
		}
	}
	far.WriteTo([]byte("third"), at)
	expect(t, "OnTraffic's", got(t, "OnTraffic", came), "third")
	mustComeFrom(t, third, at, "third")
	// From a goroutine that is none of the loops'.
	if n, err := c.Write([]byte("w")); n != 1 || err != nil {
		t.Errorf("Write: %d, %v", n, err)
	}
	mustComeFrom(t, far, at, "w")
	called := false
	if err := c.AsyncWrite([]byte("async"), func(gnet.Conn, error) error { called = true; return nil }); err != nil || !called {
		t.Errorf("AsyncWrite: %v, its callback was called: %v", err, called)
	}
	mustComeFrom(t, far, at, "async")
	if _, err := c.SendTo([]byte("x"), nil); !errors.Is(err, gneterrors.ErrInvalidNetworkAddress) {
		t.Errorf("SendTo nobody: %v", err)
	}
	if _, err := c.Write(make([]byte, 65508)); !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("Write of more than a datagram: %v", err)
	}
	for name, err := range map[string]error{
		"Writev":           second(c.Writev([][]byte{{1}})),
		"AsyncWritev":      c.AsyncWritev([][]byte{{1}}, nil),
		"SetDeadline":      c.SetDeadline(time.Now()),
		"SetReadDeadline":  c.SetReadDeadline(time.Now()),
		"SetWriteDeadline": c.SetWriteDeadline(time.Now()),
		"SetKeepAlive":     c.SetKeepAlive(true, 0, 0, 0),
	} {
		if !errors.Is(err, gneterrors.ErrUnsupportedOp) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := errors.Join(c.SetReadBuffer(1<<16), c.SetWriteBuffer(1<<16), c.SetLinger(1)); err != nil || c.Fd() < 0 || c.SetNoDelay(true) == nil {
		t.Error("options:", err, c.Fd())
	}
	fd, err := c.Dup()
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)

	told := make(chan error, 1)
	tell := func(_ gnet.Conn, err error) error { told <- err; return nil }
	c.Wake(tell)
	expect(t, "what is unread in a Wake", got(t, "OnTraffic", came), "")
	expect(t, "Wake's error", got(t, "Wake", told), nil)
	mustComeFrom(t, far, at, "")
	returns.Store(int32(gnet.Close))
	c.Wake(tell)
	expect(t, "what is unread in a Wake", got(t, "OnTraffic", came), "")
	mustComeFrom(t, far, at, "")
	expect(t, "OnClose's error", got(t, "OnClose", closed), nil)
	got(t, "Wake", told)
	c.Wake(tell) // of what is closed
	expect(t, "Wake's error", got(t, "Wake", told), nil)
	c.CloseWithCallback(tell)
	expect(t, "CloseWithCallback's error", got(t, "CloseWithCallback", told), nil)
	expect(t, "the context of what is closed", c.Context(), nil)

	// OnTraffic closes another, and the engine's end a third.
	for range 2 {
		res, err = loop.Register(t.Context(), far.LocalAddr())
		if err != nil {
			t.Fatal(err)
		}
		rr = got(t, "Register", res)
		if rr.Err != nil {
			t.Fatal(rr.Err)
		}
		hello := make([]byte, 10)
		n, at, err := far.ReadFrom(hello)
		if err != nil || string(hello[:n]) != "hello" {
			t.Fatalf("%q, %v", hello[:n], err)
		}
		if returns.Load() == int32(gnet.Close) {
			far.WriteTo([]byte("bye"), at)
			expect(t, "OnTraffic's", got(t, "OnTraffic", came), "bye")
			mustComeFrom(t, far, at, "bye")
			expect(t, "OnClose's error", got(t, "OnClose", closed), nil)
			returns.Store(int32(gnet.None))
		}
	}
	r.stop()
	expect(t, "OnClose's error", got(t, "OnClose", closed), nil)
	if _, err := loop.Register(t.Context(), far.LocalAddr()); !errors.Is(err, gneterrors.ErrEngineInShutdown) {
		t.Errorf("Register after the end: %v", err)
	}
}

// A registered udp connection is served by the loop that it is registered with, of
// connections or of datagrams, and counted there.
func TestGnetPeerIsOnItsLoop(t *testing.T) {
	for _, networks := range [][]string{{"tcp"}, {"udp"}, {"tcp", "udp"}} {
		t.Run(fmt.Sprint(networks), func(t *testing.T) {
			far := udpSocket(t)
			loops, peers := make(chan gnet.EventLoop, 1), make(chan gnet.EventLoop, 1)
			a := &app{traffic: func(c gnet.Conn) gnet.Action {
				to := loops
				if c.RemoteAddr().String() == far.LocalAddr().String() {
					to = peers
				}
				to <- c.EventLoop()
				return echo(c)
			}}
			a.engine, a.ids = make(chan gnet.Engine, 1), make(map[gnet.Conn]int)
			var addrs []string
			for _, n := range networks {
				addrs = append(addrs, freeAddr(t, n))
			}
			g := server.NewGnet(a)
			done := keepAsync(func() error { return g.Rotate(addrs, gnet.WithLogger(silent), gnet.WithNumEventLoop(2)) })
			r := &onEngine{app: a, t: t, addr: addrs, eng: got(t, "OnBoot", a.engine)}
			for i := range addrs {
				near := r.dial(i)
				mustWrite(t, near, "x")
				loop := got(t, "a loop", loops)
				mustRead(t, near, "x") // what is answered is counted
				before, conns := g.Stats().PacketsIn, g.CountConnections()
				res, err := loop.Register(t.Context(), far.LocalAddr())
				if err != nil {
					t.Fatal(err)
				}
				rr := got(t, "Register", res)
				if rr.Err != nil {
					t.Fatal(rr.Err)
				}
				expect(t, "connections", g.CountConnections(), conns+1)
				far.WriteTo([]byte("y"), rr.Conn.LocalAddr())
				expect(t, "the loop it is on", got(t, "OnTraffic", peers), loop)
				mustComeFrom(t, far, rr.Conn.LocalAddr(), "y")
				expect(t, "datagrams that have come", g.Stats().PacketsIn-before, 1)
				if err := loop.Execute(t.Context(), gnet.RunnableFunc(func(context.Context) error { return loop.Close(rr.Conn) })); err != nil {
					t.Error(err)
				}
				for end := time.Now().Add(generous); g.CountConnections() != conns; time.Sleep(time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("%d connections, want %d", g.CountConnections(), conns)
					}
				}
			}
			res, err := g.Register(gnet.NewNetAddrContext(t.Context(), far.LocalAddr()))
			if err != nil {
				t.Fatal(err)
			}
			if rr := got(t, "Register", res); rr.Err != nil {
				t.Fatal(rr.Err)
			}
			if err := g.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := got(t, "Run", done); err != nil {
				t.Error(err)
			}
		})
	}
}

// That nobody is there closes the connection, for a reason, if Write has not told it.
func TestGnetPeerRefused(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		loops, closed := make(chan gnet.EventLoop, 1), make(chan error, 1)
		r := start(t, e, &app{
			open: func(c gnet.Conn) ([]byte, gnet.Action) {
				if c.LocalAddr().Network() == "tcp" {
					loops <- c.EventLoop()
				}
				return nil, gnet.None
			},
			close: func(c gnet.Conn, err error) gnet.Action {
				if c.LocalAddr().Network() == "udp" {
					closed <- err
				}
				return gnet.None
			},
		}, []string{"tcp"})
		loop := r.aLoop(loops)
		far := udpSocket(t)
		res, err := loop.Register(t.Context(), far.LocalAddr())
		if err != nil {
			t.Fatal(err)
		}
		rr := got(t, "Register", res)
		if rr.Err != nil {
			t.Fatal(rr.Err)
		}
		far.Close()
		for end := time.Now().Add(generous); ; time.Sleep(time.Millisecond) {
			rr.Conn.Write([]byte("x"))
			select {
			case err := <-closed:
				if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("OnClose for %v", err)
				}
				return
			default:
			}
			if time.Now().After(end) {
				t.Fatal("it is not closed")
			}
		}
	})
	nc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	loops := make(chan gnet.EventLoop, 1)
	r := start(t, onEsca(""), &app{open: func(c gnet.Conn) ([]byte, gnet.Action) { loops <- c.EventLoop(); return nil, gnet.None }}, []string{"tcp"})
	res, err := r.aLoop(loops).Enroll(t.Context(), nc.(*net.UDPConn)) // of which gnet makes a panic
	if err != nil {
		t.Fatal(err)
	}
	if rr := got(t, "Enroll", res); rr.Err == nil {
		t.Error("a socket without a peer is enrolled")
	}
}
