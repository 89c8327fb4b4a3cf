//go:build linux && (amd64 || arm64)

package server_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// Where a relay stops taking input in for a side that is slow, and goes on.
const (
	relayHigh = 128 << 10
	relayLow  = 32 << 10
)

// countedRelay passes what clients send on to an upstream, and back, without taking in more
// than the other side takes.
type countedRelay struct {
	upstream  net.Addr
	elsewhere bool         // connections are resumed from other goroutines
	most      atomic.Int64 // bytes that waited to be sent
	paused    atomic.Int64
	broken    chan error
}

func (r *countedRelay) app() *app {
	r.broken = make(chan error, 100)
	return &app{open: r.open, traffic: r.traffic, close: func(c gnet.Conn, err error) gnet.Action {
		if to, ok := c.SafeContext().(gnet.Conn); ok {
			to.Close()
		}
		return gnet.None
	}}
}

func (r *countedRelay) open(c gnet.Conn) ([]byte, gnet.Action) {
	if from, ok := c.SafeContext().(gnet.Conn); ok { // it is the upstream's
		from.SetSafeContext(c)
		if server.Resume(from) != nil {
			return nil, gnet.Close
		}
		return nil, gnet.None
	}
	if err := server.Pause(c); err != nil {
		r.broken <- err
	}
	opened, err := c.EventLoop().Register(gnet.NewContext(context.Background(), c), r.upstream)
	if err != nil {
		return nil, gnet.Close
	}
	go func() {
		if res := <-opened; res.Err != nil {
			c.Close()
		}
	}()
	return nil, gnet.None
}

func (r *countedRelay) traffic(c gnet.Conn) gnet.Action {
	to, ok := c.SafeContext().(gnet.Conn)
	if !ok {
		r.broken <- errors.New("OnTraffic of a connection that was paused")
		return gnet.Close
	}
	b, _ := c.Next(-1)
	to.Write(b)
	n := to.OutboundBuffered()
	r.most.Store(max(r.most.Load(), int64(n)))
	if n > relayHigh {
		r.paused.Add(1)
		server.Pause(c)
		server.WhenDrained(to, relayLow, func(gnet.Conn, error) error {
			if r.elsewhere {
				go server.Resume(c)
				return nil
			}
			return server.Resume(c)
		})
	}
	return gnet.None
}

// sink is an upstream whose connections the test reads by hand.
func sink(t testing.TB) (net.Listener, <-chan *net.TCPConn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	conns := make(chan *net.TCPConn, 10)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(generous))
			t.Cleanup(func() { c.Close() })
			conns <- c.(*net.TCPConn)
		}
	}()
	return ln, conns
}

// counted is a stream that is the same for the same seed, and how much of it was read.
type counted struct {
	rand *rand.ChaCha8
	left int64
	n    atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), c.left))
	c.rand.Read(p[:n])
	c.left -= int64(n)
	c.n.Add(int64(n))
	return n, nil
}

// stuck returns when n does not grow any more, or is all.
func stuck(n *atomic.Int64, all int64) int64 {
	for was, same := n.Load(), 0; ; was = n.Load() {
		time.Sleep(10 * time.Millisecond)
		if n.Load() != was {
			same = 0
		} else if same++; same == 30 || was == all {
			return was
		}
	}
}

// relays are the ways to run a relay.
func relays(t *testing.T) map[string]func(h gnet.EventHandler, addrs []string, o ...gnet.Option) error {
	cfg, _ := serverTLS(t)
	plain := func(opts ...conn.Option) func(gnet.EventHandler, []string, ...gnet.Option) error {
		return onEsca("", opts...).run
	}
	return map[string]func(gnet.EventHandler, []string, ...gnet.Option) error{
		"one loop":   plain(),
		"goroutines": plain(conn.WithDispatch(conn.DispatchGoroutine), conn.WithLoops(2)),
		"direct":     plain(conn.WithBackend("direct"), conn.WithLoops(2)),
		"faulty":     plain(conn.WithFactory(faultyWithoutResets(7))),
		"tls": func(h gnet.EventHandler, addrs []string, o ...gnet.Option) error {
			return server.NewGnet(h).RunTLS(addrs[0], cfg, o...)
		},
	}
}

// A fast sender behind a relay whose receiver is slow is stopped; the relay holds what it
// is told to, and nothing is lost.
func TestPausedSenderIsStopped(t *testing.T) {
	const all = 48 << 20
	for name, run := range relays(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ln, sinks := sink(t)
			r := &countedRelay{upstream: ln.Addr(), elsewhere: name == "goroutines"}
			on := start(t, engine{"esca", run}, r.app(), []string{"tcp"}, gnet.WithSocketRecvBuffer(128<<10), gnet.WithSocketSendBuffer(128<<10))
			var c net.Conn = on.dial(0)
			c.(*net.TCPConn).SetWriteBuffer(128 << 10)
			if name == "tls" {
				_, client := serverTLS(t)
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: client.ServerName})
			}
			from := &counted{rand: rand.NewChaCha8([32]byte{1}), left: all}
			sent := make(chan error, 1)
			go func() {
				_, err := io.Copy(struct{ io.Writer }{c}, from)
				if cw, ok := c.(interface{ CloseWrite() error }); ok && err == nil {
					err = cw.CloseWrite() // it may be paused as this comes
				}
				sent <- err
			}()
			to := got(t, "the upstream's connection", sinks)
			to.SetReadBuffer(128 << 10)
			if n := stuck(&from.n, all); n == all {
				t.Errorf("all %d bytes were taken from the sender, and nobody has received any", n)
			}
			if r.paused.Load() == 0 {
				t.Error("it was never paused")
			}
			sum := sha256.New()
			n, err := io.Copy(sum, to)
			want := sha256.New()
			io.Copy(want, &counted{rand: rand.NewChaCha8([32]byte{1}), left: all})
			if n != all || err != nil || string(sum.Sum(nil)) != string(want.Sum(nil)) {
				t.Errorf("%d bytes of %d were received, %v, the right ones: %v", n, all, err, string(sum.Sum(nil)) == string(want.Sum(nil)))
			}
			if err := got(t, "the sender's end", sent); err != nil {
				t.Error(err)
			}
			// One OnTraffic may take it over the mark, by what it gets at once.
			if most := r.most.Load(); most > int64(relayHigh+gnet.MaxStreamBufferCap+64<<10) {
				t.Errorf("%d bytes waited in the relay", most)
			}
			on.until(0, "open traffic close:eof")
			noErrors(t, r.broken)
		})
	}
}

func noErrors(t *testing.T, errs <-chan error) {
	t.Helper()
	select {
	case err := <-errs:
		t.Error(err)
	default:
	}
}

// However the ends of a relay that is stopped go away, nothing hangs.
func TestPausedConnectionsEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(client, upstream *net.TCPConn)
	}{
		{"the receiver closes", func(_, up *net.TCPConn) { up.Close() }},
		{"the receiver resets", func(_, up *net.TCPConn) { up.SetLinger(0); up.Close() }},
		{"the sender resets, and the receiver reads on", func(c, up *net.TCPConn) {
			c.SetLinger(0)
			c.Close()
			go io.Copy(io.Discard, up)
		}},
		{"both reset", func(c, up *net.TCPConn) {
			c.SetLinger(0)
			c.Close()
			up.SetLinger(0)
			up.Close()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ln, sinks := sink(t)
			r := &countedRelay{upstream: ln.Addr()}
			on := start(t, onEsca(""), r.app(), []string{"tcp"})
			c := on.dial(0).(*net.TCPConn)
			from := &counted{rand: rand.NewChaCha8([32]byte{}), left: 1 << 50} // lingering closes read on for a while
			sent := make(chan error, 1)
			go func() { _, err := io.Copy(struct{ io.Writer }{c}, from); sent <- err }()
			up := got(t, "the upstream's connection", sinks)
			stuck(&from.n, 1<<50)
			tt.end(c, up)
			if err := got(t, "the sender's end", sent); err == nil {
				t.Error("all of it was sent to nobody")
			}
			deadline := time.Now().Add(generous)
			for !strings.Contains(on.of(0), "close") || !strings.Contains(on.of(1), "close") {
				if time.Now().After(deadline) {
					t.Fatalf("%q and %q, and no end", on.of(0), on.of(1))
				}
				time.Sleep(time.Millisecond)
			}
			noErrors(t, r.broken)
		})
	}
}

// What OnTraffic has left unread when it paused the connection is there again after
// Resume, though nothing more has come; while it is paused AsyncWrite and Wake work, and
// no OnTraffic comes but for Wake.
func TestResumeWithLeftovers(t *testing.T) {
	for _, opts := range [][]conn.Option{nil, {conn.WithDispatch(conn.DispatchGoroutine)}} {
		calls := make(chan string, 100)
		var conns atomic.Pointer[gnet.Conn]
		a := &app{traffic: func(c gnet.Conn) gnet.Action {
			if conns.Swap(&c) == nil {
				calls <- "first"
				server.Pause(c)
				server.Pause(c)
				return gnet.None
			}
			b, _ := c.Peek(-1)
			calls <- string(b)
			return gnet.None
		}}
		r := start(t, onEsca("", opts...), a, []string{"tcp"})
		c := r.dial(0)
		mustWrite(t, c, "one")
		if s := got(t, "OnTraffic", calls); s != "first" {
			t.Fatal(s)
		}
		gc := *conns.Load()
		mustWrite(t, c, "two")
		gc.AsyncWrite([]byte("written"), nil)
		mustRead(t, c, "written")
		gc.Wake(nil)
		if s := got(t, "Wake", calls); s != "one" {
			t.Errorf("while it is paused it has %q", s)
		}
		if err := server.Resume(gc); err != nil {
			t.Error(err)
		}
		for s := ""; s != "onetwo"; {
			if s = got(t, "what was left", calls); s != "one" && s != "onetwo" {
				t.Fatalf("after Resume there is %q", s)
			}
		}
		server.Resume(gc)
		c.Close()
		r.until(0, "open traffic close:eof")
		if a, b := server.Pause(gc), server.Resume(gc); !errors.Is(a, net.ErrClosed) || !errors.Is(b, net.ErrClosed) {
			t.Errorf("of a closed one: %v, %v", a, b)
		}
		late := make(chan error, 1)
		server.WhenDrained(gc, 0, func(_ gnet.Conn, err error) error { late <- err; return nil })
		if err := got(t, "WhenDrained", late); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WhenDrained of a closed one: %v", err)
		}
		r.stop()
	}
	var foreign struct{ gnet.Conn }
	drained := server.WhenDrained(foreign, 0, nil)
	for _, err := range []error{server.Pause(foreign), server.Resume(foreign), drained} {
		if !errors.Is(err, gneterrors.ErrUnsupportedOp) {
			t.Errorf("of a connection of gnet's: %v", err)
		}
	}
}

// A deadline closes a paused connection, as any other.
func TestPausedDeadline(t *testing.T) {
	a := &app{open: func(c gnet.Conn) ([]byte, gnet.Action) {
		server.Pause(c)
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		return nil, gnet.None
	}}
	r := start(t, onEsca(""), a, []string{"tcp"})
	c := r.dial(0)
	mustWrite(t, c, "unread")
	r.until(0, "open close:timeout")
}
