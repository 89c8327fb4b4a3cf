//go:build linux && (amd64 || arm64)

package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// What a datagram's Conn offers, and what it refuses, is gnet's.
func TestGnetDatagramIsGnets(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		third, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer third.Close()
		woken := make(chan error, 2)
		a := &app{traffic: func(c gnet.Conn) gnet.Action {
			for name, err := range map[string]error{
				"Writev":             second(c.Writev([][]byte{{1}})),
				"AsyncWritev":        c.AsyncWritev([][]byte{{1}}, nil),
				"SetDeadline":        c.SetDeadline(time.Now()),
				"SetReadDeadline":    c.SetReadDeadline(time.Now()),
				"SetWriteDeadline":   c.SetWriteDeadline(time.Now()),
				"SetKeepAlive":       c.SetKeepAlive(true, 0, 0, 0),
				"SetKeepAlivePeriod": c.SetKeepAlivePeriod(time.Second),
			} {
				if !errors.Is(err, gneterrors.ErrUnsupportedOp) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if _, err := c.SendTo([]byte("x"), nil); !errors.Is(err, gneterrors.ErrInvalidNetworkAddress) {
				t.Errorf("SendTo nobody: %v", err)
			}
			if _, err := c.Write(make([]byte, 65508)); !errors.Is(err, unix.EMSGSIZE) {
				t.Errorf("Write of more than a datagram: %v", err)
			}
			if c.SetNoDelay(true) == nil {
				t.Error("SetNoDelay works")
			}
			if err := errors.Join(c.Flush(), c.SetReadBuffer(1<<16), c.SetWriteBuffer(1<<16), c.SetLinger(1)); err != nil {
				t.Error(err)
			}
			fd, err := c.Dup()
			if err != nil || fd < 3 || c.Fd() < 3 {
				t.Errorf("Dup: %d, %v; Fd: %d", fd, err, c.Fd())
			}
			unix.Close(fd)
			if c.Context() != nil || c.SafeContext() != nil {
				t.Errorf("contexts %v, %v", c.Context(), c.SafeContext())
			}
			c.SetContext(1)
			c.SetSafeContext(2)
			expect(t, "the context", c.Context(), any(1))
			expect(t, "the safe context", c.SafeContext(), any(2))
			if c.RemoteAddr().Network() != "udp" || c.LocalAddr().Network() != "udp" {
				t.Errorf("%v to %v", c.RemoteAddr(), c.LocalAddr())
			}
			c.Wake(func(c gnet.Conn, err error) error { woken <- err; return nil })
			c.CloseWithCallback(func(c gnet.Conn, err error) error { woken <- err; return nil })
			head, err := c.Peek(2)
			if err != nil || string(head) != "he" || c.InboundBuffered() != 5 {
				t.Errorf("Peek: %q, %v of %d", head, err, c.InboundBuffered())
			}
			c.Discard(2)
			two := make([]byte, 2)
			if n, err := c.Read(two); n != 2 || err != nil || string(two) != "ll" {
				t.Errorf("Read: %q, %v", two[:n], err)
			}
			rest, err := c.Next(-1)
			if err != nil || string(rest) != "o" || c.InboundBuffered() != 0 || c.OutboundBuffered() != 0 {
				t.Errorf("Next: %q, %v; %d and %d are buffered", rest, err, c.InboundBuffered(), c.OutboundBuffered())
			}
			c.Write([]byte("a"))
			c.SendTo([]byte("b"), third.LocalAddr())
			c.Write([]byte("c"))
			return gnet.Close // which closes nothing
		}}
		r := start(t, e, a, []string{"udp"})
		c := r.dial(0)
		for range 3 {
			mustWrite(t, c, "hello")
			mustReceive(t, c, "a")
			mustReceive(t, c, "c")
			b := make([]byte, 8)
			third.SetReadDeadline(time.Now().Add(generous))
			if n, _, err := third.ReadFrom(b); err != nil || string(b[:n]) != "b" {
				t.Errorf("the third has got %q, %v", b[:n], err)
			}
			for range 2 {
				if err := got(t, "a callback", woken); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// mustReceive reads one datagram.
func mustReceive(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, 1<<16)
	if n, err := c.Read(b); err != nil || string(b[:n]) != want {
		t.Fatalf("received %.100q, %v; want %.100q", b[:n], err, want)
	}
}

// A datagram is answered when OnTraffic is over, by another goroutine, and others are
// not answered in its stead; long ones come and go whole.
func TestGnetDatagramIsAnsweredLater(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		later := make(chan func(), 100)
		a := &app{traffic: func(c gnet.Conn) gnet.Action {
			b, _ := c.Next(-1)
			mine := bytes.Clone(b)
			later <- func() {
				if err := c.AsyncWrite(mine, nil); err != nil {
					t.Error(err)
				}
			}
			return gnet.None
		}}
		r := start(t, e, a, []string{"udp"})
		var cs []net.Conn
		var fs []func()
		for i := range 8 {
			c := r.dial(0)
			mustWrite(t, c, fmt.Sprint("peer ", i))
			cs, fs = append(cs, c), append(fs, got(t, "a datagram", later))
		}
		for i := range fs {
			go fs[len(fs)-1-i]()
		}
		for i, c := range cs {
			mustReceive(t, c, fmt.Sprint("peer ", i))
		}
		long := string(letters(60_000))
		mustWrite(t, cs[0], long)
		got(t, "the long one", later)()
		mustReceive(t, cs[0], long)
	})
}

// An application that joins a group by its address gets what is sent there, once, however
// many loops it has.
func TestGnetMulticast(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skipf("there is no loopback to send to a group over: %v", err)
	}
	const group = "239.77.27.1"
	for _, e := range []engine{gnetItself, onEsca(""), onEsca("-loops", conn.WithLoops(4))} {
		t.Run(e.name, func(t *testing.T) {
			_, port, _ := net.SplitHostPort(hostPort(freeAddr(t, "udp")))
			came := make(chan string, 10)
			a := &app{traffic: func(c gnet.Conn) gnet.Action {
				b, _ := c.Next(-1)
				came <- string(b)
				c.Write([]byte("seen"))
				return gnet.None
			}}
			r := startAt(t, e, a, []string{"udp://" + net.JoinHostPort(group, port)}, gnet.WithMulticastInterfaceIndex(lo.Index))
			d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, Control: func(_, _ string, rc syscall.RawConn) (err error) {
				cerr := rc.Control(func(fd uintptr) {
					err = unix.SetsockoptInet4Addr(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_IF, [4]byte{127, 0, 0, 1})
				})
				return errors.Join(cerr, err)
			}}
			c, err := d.Dial("udp4", net.JoinHostPort(group, port))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for i := range 3 {
				mustWrite(t, c, fmt.Sprint(i))
				expect(t, "what comes", got(t, "a datagram", came), fmt.Sprint(i))
			}
			r.stop()
			if len(came) > 0 {
				t.Errorf("it has come %d times more", len(came))
			}
		})
	}
}

// With one loop the callbacks of several udp addresses, and of connections that are
// registered, come one at a time, though there is no stream to have a loop.
func TestGnetSerialUDP(t *testing.T) {
	for _, e := range []engine{gnetItself, onEsca("")} {
		t.Run(e.name, func(t *testing.T) {
			peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			const rounds = 200
			counter := 0
			loops := make(chan gnet.EventLoop, 2*rounds)
			runnable := gnet.RunnableFunc(func(context.Context) error { counter++; return nil })
			a := &app{traffic: func(c gnet.Conn) gnet.Action {
				counter++
				c.EventLoop().Execute(t.Context(), runnable)
				if c.RemoteAddr().String() == peer.LocalAddr().String() {
					return gnet.None
				}
				loops <- c.EventLoop()
				return echo(c)
			}}
			r := start(t, e, a, []string{"udp", "udp"})
			var all sync.WaitGroup
			for i := range 2 {
				c := r.dial(i)
				all.Go(func() {
					for range rounds {
						mustWrite(t, c, "x")
						mustReceive(t, c, "x")
					}
				})
			}
			res, err := got(t, "a loop", loops).Register(t.Context(), peer.LocalAddr())
			if err != nil {
				t.Fatal(err)
			}
			reg := got(t, "Register", res)
			if reg.Err != nil {
				t.Fatal(reg.Err)
			}
			for range rounds {
				peer.WriteTo([]byte("x"), reg.Conn.LocalAddr())
			}
			all.Wait()
			r.stop()
			if counter < 4*rounds {
				t.Errorf("%d callbacks", counter)
			}
		})
	}
}

// OnTraffic of a datagram may end the engine.
func TestGnetUDPShutdown(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		r := start(t, e, &app{traffic: func(gnet.Conn) gnet.Action { return gnet.Shutdown }}, []string{"udp"})
		mustWrite(t, r.dial(0), "x")
		r.ended()
		if r.of(-1) != "boot shutdown" {
			t.Errorf("events %q", r.of(-1))
		}
	})
}

// What a Gnet tells of udp addresses, which are served by loops of ours: many datagrams
// are few crossings.
func TestGnetUDPTells(t *testing.T) {
	release := make(chan struct{})
	var first sync.Once
	a := &app{engine: make(chan gnet.Engine, 1), ids: map[gnet.Conn]int{}, traffic: func(c gnet.Conn) gnet.Action {
		first.Do(func() { <-release })
		return echo(c)
	}}
	g := server.NewGnet(a)
	addr := freeAddr(t, "udp")
	done := keepAsync(func() error { return g.Run(addr, gnet.WithLogger(silent), gnet.WithBindToDevice("lo")) })
	got(t, "OnBoot", a.engine)
	for name, dup := range map[string]func() (int, error){"Dup": g.Dup, "DupListener": func() (int, error) { return g.DupListener("udp", hostPort(addr)) }} {
		fd, err := dup()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if on, err := unix.GetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE); err != nil || on != "lo" {
			t.Errorf("%s: bound to %q, %v", name, on, err)
		}
		unix.Close(fd)
	}
	if _, err := g.DupListener("udp", "127.0.0.1:1"); !errors.Is(err, gneterrors.ErrInvalidNetworkAddress) {
		t.Errorf("DupListener of another address: %v", err)
	}
	c, err := net.Dial("udp", hostPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(generous))
	const n = 64
	for range n {
		mustWrite(t, c, "x")
	}
	close(release)
	for range n {
		mustReceive(t, c, "x")
	}
	s := g.Stats()
	for end := time.Now().Add(generous); s.PacketsOut < n && time.Now().Before(end); s = g.Stats() { // counted after the crossing
		time.Sleep(time.Millisecond)
	}
	if s.PacketsIn != n || s.PacketsOut != n || s.Loops != 1 || s.Crossings >= n {
		t.Errorf("%+v", s.Stats)
	}
	if err := server.Stop(t.Context(), addr); err != nil {
		t.Error(err)
	}
	if err := got(t, "Run", done); err != nil {
		t.Error(err)
	}
	if _, err := g.Dup(); err == nil {
		t.Error("Dup after the end")
	}
}
