//go:build linux && (amd64 || arm64)

package server_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
)

// Connections that the application brings are its event-loop's like any other.
func TestGnetRegisters(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		if strings.Contains(e.name, "faulty") {
			t.Skip("the peer is on a plain socket, and nothing here is about faults")
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		conns := make(chan gnet.Conn, 10)
		a := &app{traffic: echo, open: func(c gnet.Conn) ([]byte, gnet.Action) {
			conns <- c
			return []byte("hi"), gnet.None
		}}
		r := start(t, e, a, []string{"tcp"}, gnet.WithLoadBalancing(gnet.LeastConnections))
		r.dial(0)
		loop := got(t, "OnOpen", conns).EventLoop()
		accept := func() net.Conn {
			c, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			c.SetDeadline(time.Now().Add(generous))
			return c
		}
		dial := func() net.Conn {
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		ctx := gnet.NewContext(context.Background(), "mine")
		for name, register := range map[string]func() (<-chan gnet.RegisteredResult, error){
			"Register": func() (<-chan gnet.RegisteredResult, error) { return loop.Register(ctx, ln.Addr()) },
			"Enroll":   func() (<-chan gnet.RegisteredResult, error) { return loop.Enroll(ctx, dial()) },
			"Engine with an address": func() (<-chan gnet.RegisteredResult, error) {
				return r.eng.Register(gnet.NewNetAddrContext(ctx, ln.Addr()))
			},
			"Engine with a connection": func() (<-chan gnet.RegisteredResult, error) {
				return r.eng.Register(gnet.NewNetConnContext(ctx, dial()))
			},
		} {
			done, err := register()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			peer := accept()
			res := got(t, name, done)
			if res.Err != nil || res.Conn.SafeContext() != "mine" {
				t.Fatalf("%s: %v, %v", name, res.Conn, res.Err)
			}
			mustRead(t, peer, "hi")
			mustWrite(t, peer, "echo")
			mustRead(t, peer, "echo")
		}
		if _, err := loop.Register(ctx, nil); !errors.Is(err, gneterrors.ErrInvalidNetworkAddress) {
			t.Errorf("Register of nothing: %v", err)
		}
		if _, err := loop.Enroll(ctx, nil); !errors.Is(err, gneterrors.ErrInvalidNetConn) {
			t.Errorf("Enroll of nothing: %v", err)
		}
		if err := loop.Execute(ctx, nil); !errors.Is(err, gneterrors.ErrNilRunnable) {
			t.Errorf("Execute of nothing: %v", err)
		}
		var ran atomic.Int32
		did := make(chan struct{})
		for range 3 {
			loop.Execute(ctx, gnet.RunnableFunc(func(c context.Context) error {
				if c != ctx {
					t.Error("another context")
				}
				if ran.Add(1) == 3 {
					close(did)
				}
				return errors.New("for the log")
			}))
		}
		got(t, "Execute", did)
	})
}

// What a handler asks a socket for is done.
func TestGnetSocket(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		results := make(chan []string, 2)
		a := &app{open: func(c gnet.Conn) ([]byte, gnet.Action) {
			var log []string
			for _, err := range []error{
				c.SetReadBuffer(1 << 16), c.SetWriteBuffer(1 << 16), c.SetLinger(3), c.SetNoDelay(false),
				c.SetKeepAlivePeriod(time.Minute), c.SetKeepAlive(true, time.Minute, time.Second, 3), c.SetKeepAlive(true, 0, 0, 0),
			} {
				log = append(log, errName(err))
			}
			if _, err := c.SendTo(nil, nil); !errors.Is(err, gneterrors.ErrUnsupportedOp) {
				log = append(log, "SendTo")
			}
			fd, err := c.Dup()
			if err != nil || fd == c.Fd() || c.Fd() < 3 {
				log = append(log, "Dup")
			}
			syscall.Close(fd)
			c.SetContext(7)
			c.SetSafeContext(8)
			if c.Context() != 7 || c.SafeContext() != 8 || c.EventLoop() != c.EventLoop() || c.LocalAddr() == nil || c.RemoteAddr() == nil || c.OutboundBuffered() != 0 || c.Flush() != nil {
				log = append(log, "something else")
			}
			n, err := c.ReadFrom(strings.NewReader("read from"))
			if n != 9 || err != nil || c.Flush() != nil {
				log = append(log, "ReadFrom")
			}
			results <- log
			return nil, gnet.None
		}}
		r := start(t, e, a, []string{"tcp"})
		c := r.dial(0)
		log := got(t, "the results", results)
		want := []string{"nil", "nil", "nil", "nil", "nil", "nil"}
		if !slices.Equal(log[:6], want) || len(log) != 7 || log[6] == "nil" {
			t.Errorf("results %q", log)
		}
		mustRead(t, c, "read from")
	})
}
