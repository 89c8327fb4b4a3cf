//go:build linux && (amd64 || arm64)

package conn_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/escahttp/esca/conn"
)

// What net.Dial reports is what Dial reports.
func TestDialErrorsAreNets(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := gone.Addr().String()
	gone.Close()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for _, tt := range []struct {
		name          string
		ctx           context.Context
		network, addr string
	}{
		{"refused", context.Background(), "tcp", nobody},
		{"no such file", context.Background(), "unix", t.TempDir() + "/nobody"},
		{"no port", context.Background(), "tcp", "127.0.0.1"},
		{"no such network's address", context.Background(), "tcp6", "127.0.0.1:1"},
		{"cancelled", over, "tcp", nobody},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, want := new(net.Dialer).DialContext(tt.ctx, tt.network, tt.addr)
			c, err := conn.DialContext(tt.ctx, tt.network, tt.addr)
			if c != nil || err == nil || err.Error() != want.Error() {
				t.Fatalf("got %v, %v; net says %v", c, err, want)
			}
			var a, b *net.OpError
			if errors.As(err, &a) != errors.As(want, &b) || a.Timeout() != b.Timeout() {
				t.Fatalf("%#v, net's is %#v", err, want)
			}
		})
	}
	for _, network := range []string{"unixpacket", "ip", ""} {
		var unknown net.UnknownNetworkError
		if _, err := conn.Dial(network, "127.0.0.1:1"); !errors.As(err, &unknown) || !strings.Contains(err.Error(), "tcp4") {
			t.Errorf("network %q: %v", network, err)
		}
	}
}

// A dialled connection tells its addresses, also when it is closed, and in errors.
func TestDialledAddresses(t *testing.T) {
	for _, network := range []string{"tcp", "tcp4", "unix"} {
		t.Run(network, func(t *testing.T) {
			addr := "127.0.0.1:0"
			if network == "unix" {
				addr = t.TempDir() + "/s"
			}
			ln, err := net.Listen(network, addr)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			c, err := conn.Dial(network, ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			peer, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			local := peer.RemoteAddr().String()
			check := func(when string) {
				if c.RemoteAddr().String() != ln.Addr().String() || network != "unix" && c.LocalAddr().String() != local {
					t.Errorf("%s: %v to %v, the peer says %v", when, c.LocalAddr(), c.RemoteAddr(), local)
				}
			}
			check("open")
			c.Close()
			check("closed")
			_, err = c.Read(make([]byte, 1))
			var op *net.OpError
			if !errors.As(err, &op) || op.Net != network || op.Op != "read" || !errors.Is(err, net.ErrClosed) {
				t.Errorf("a Read of a closed one: %#v", err)
			}
		})
	}
}

// Loops in common end when nobody needs them, and are made anew.
func TestLoopsInCommonEnd(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	for range 2 {
		var all []net.Conn
		for range 10 {
			c, err := conn.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			echo(t, c)
			all = append(all, c)
		}
		g := conn.SharedLoops()
		if g == nil {
			t.Fatal("there are connections, and no loops")
		}
		for _, c := range all {
			c.Close()
		}
		<-g // ended
		if conn.SharedLoops() != nil {
			t.Fatal("the loops have ended, and are still to be used")
		}
	}
}

func echo(t testing.TB, c net.Conn) {
	t.Helper()
	if _, err := c.Write([]byte("echo")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
}

// upstream answers whatever it reads, after it has been told to.
type upstream struct {
	net.Listener
	answer chan struct{}
}

func newUpstream(t testing.TB) *upstream {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{ln, make(chan struct{})}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for buf := make([]byte, 1<<10); ; {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					<-u.answer
					if _, err := c.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return u
}

// proxy sends what its connections send to an upstream, and its answers back.
type proxy struct{ dial func() (net.Conn, error) }

func (proxy) Open(*conn.Burst) {}

func (p proxy) Serve(b *conn.Burst) {
	c := b.Conn()
	up, _ := b.Context().(net.Conn)
	if up == nil {
		var err error
		if up, err = p.dial(); err != nil {
			c.Close()
			return
		}
		b.SetContext(up)
	}
	for buf := make([]byte, 1<<10); ; {
		b.AtBoundary(io.EOF)
		n, err := c.Read(buf)
		if b.Over() {
			return
		}
		b.AtBoundary(nil)
		if err == nil {
			_, err = up.Write(buf[:n])
		}
		if err == nil {
			_, err = io.ReadFull(up, buf[:n])
		}
		if err == nil {
			_, err = c.Write(buf[:n])
		}
		if err != nil {
			up.Close()
			c.Close()
			return
		}
	}
}

// A handler that waits for its upstream, to connect or to answer, does not keep its
// loop, even if nobody could take that from it.
func TestHandlerWaitsForUpstreamWithoutTheLoop(t *testing.T) {
	for _, tt := range []struct {
		name  string
		loops int
		mode  conn.Dispatch
	}{
		{"its own loop", 1, conn.DispatchInline},
		{"two loops", 2, conn.DispatchInline},
		{"goroutines", 2, conn.DispatchGoroutine},
		{"adaptive", 2, conn.DispatchAdaptive},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newUpstream(t)
			ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(tt.loops), conn.WithDispatch(tt.mode), conn.WithSteals(false))
			if err := ln.Start(proxy{dial: func() (net.Conn, error) { return conn.Dial("tcp", u.Addr().String()) }}); err != nil {
				t.Fatal(err)
			}
			const n = 20
			var clients []net.Conn
			for range n {
				c, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				clients = append(clients, c)
			}
			for range 3 {
				// All handlers wait for their upstreams at once: it answers only when
				// every client has sent, and each loop has so served them all.
				for _, c := range clients {
					if _, err := c.Write([]byte("hello")); err != nil {
						t.Fatal(err)
					}
				}
				for range n {
					u.answer <- struct{}{}
				}
				for _, c := range clients {
					if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if st := ln.Stats(); st.Steals != 0 || tt.mode != conn.DispatchGoroutine && st.Dialled != n {
				t.Errorf("%+v", st)
			}
			for _, c := range clients {
				c.Close()
			}
			ln.Close()
			ln.Wait()
		})
	}
}

// A connection of one loop that the handlers of another wait for wakes those.
func TestUpstreamOfAnotherLoop(t *testing.T) {
	u := newUpstream(t)
	close(u.answer)
	other := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1))
	defer other.Close()
	d := conn.Dialer{Listener: other}
	ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1), conn.WithDispatch(conn.DispatchInline), conn.WithSteals(false))
	if err := ln.Start(proxy{dial: func() (net.Conn, error) { return d.Dial("tcp", u.Addr().String()) }}); err != nil {
		t.Fatal(err)
	}
	var clients []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	for range 50 {
		for _, c := range clients {
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range clients {
			if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if st := other.Stats(); st.Dialled != len(clients) {
		t.Errorf("%d connections were dialled onto the other's loops, want %d", st.Dialled, len(clients))
	}
	for _, c := range clients {
		c.Close()
	}
	ln.Close()
	ln.Wait()
}

// Wait does not wait for dialled connections, which go on; a Listener whose loops have
// ended is no hindrance to dial.
func TestDialledOutliveTheirListener(t *testing.T) {
	u := newUpstream(t)
	close(u.answer)
	ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(2))
	d := conn.Dialer{Listener: ln}
	c, err := d.Dial("tcp", u.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	ln.Wait()
	echo(t, c)
	c.Close()
	<-ln.Ended()
	c, err = d.Dial("tcp", u.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	echo(t, c)
	c.Close()
}

// Deadlines of an upstream act on a handler that waits for it.
func TestUpstreamDeadline(t *testing.T) {
	u := newUpstream(t) // never answers
	ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1), conn.WithDispatch(conn.DispatchInline), conn.WithSteals(false))
	errs := make(chan error, 1)
	h := serveFunc{serve: func(c *conn.Conn) {
		defer c.Close()
		up, err := conn.Dial("tcp", u.Addr().String())
		if err != nil {
			errs <- err
			return
		}
		defer up.Close()
		up.Write([]byte("hello"))
		up.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		_, err = up.Read(make([]byte, 1))
		errs <- err
	}}
	if err := ln.Start(h); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("x"))
	if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	ln.Close()
	ln.Wait()
}
