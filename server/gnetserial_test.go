//go:build linux && (amd64 || arm64)

package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// With one loop all callbacks come one at a time, whatever they are of: tcp, unix, a
// datagram, a connection that was registered, a Runnable, a callback that was asked
// for. counter is what such an application has without a lock.
func TestGnetSerial(t *testing.T) {
	for _, e := range []engine{{"gnet", gnet.Rotate}, onEsca(""), onEsca("-adaptive", conn.WithDispatch(conn.DispatchAdaptive))} {
		t.Run(e.name, func(t *testing.T) {
			peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			const rounds = 200
			counter := 0
			inside := false
			count := func() {
				if inside {
					t.Error("two callbacks at once")
				}
				inside = true
				counter++
				inside = false
			}
			counted := func(gnet.Conn, error) error { count(); return nil }
			runnable := gnet.RunnableFunc(func(context.Context) error { count(); return nil })
			loops, registered := make(chan gnet.EventLoop, 10), make(chan gnet.Conn, 1)
			a := &app{
				open: func(c gnet.Conn) ([]byte, gnet.Action) {
					count()
					loops <- c.EventLoop()
					return nil, gnet.None
				},
				traffic: func(c gnet.Conn) gnet.Action {
					count()
					c.EventLoop().Execute(t.Context(), runnable)
					return echo(c)
				},
				close: func(gnet.Conn, error) gnet.Action { count(); return gnet.None },
			}
			r := start(t, e, a, []string{"tcp", "unix", "udp"})
			tcp, unix, udp := r.dial(0), r.dial(1), r.dial(2)
			res, err := got(t, "a loop", loops).Register(gnet.NewContext(t.Context(), "mine"), peer.LocalAddr())
			if err != nil {
				t.Fatal(err)
			}
			rr := got(t, "Register", res)
			if rr.Err != nil {
				t.Fatal(rr.Err)
			}
			registered <- rr.Conn
			expect(t, "the context", rr.Conn.Context(), any("mine"))
			expect(t, "the safe context", rr.Conn.SafeContext(), any("mine"))
			var all sync.WaitGroup
			for _, c := range []net.Conn{tcp, unix, udp} {
				all.Go(func() {
					for range rounds {
						mustWrite(t, c, "x")
						mustRead(t, c, "x")
					}
				})
			}
			all.Go(func() {
				for range rounds {
					rr.Conn.Wake(counted)
					peer.WriteTo([]byte("x"), rr.Conn.LocalAddr())
				}
			})
			all.Wait()
			closed := make(chan error, 1)
			rr.Conn.CloseWithCallback(func(c gnet.Conn, err error) error {
				count()
				if c != rr.Conn {
					err = fmt.Errorf("of %v", c)
				}
				closed <- err
				return nil
			})
			if err := got(t, "the callback", closed); err != nil {
				t.Errorf("CloseWithCallback: %v", err)
			}
			r.stop()
			if counter < 6*rounds {
				t.Errorf("%d callbacks", counter)
			}
		})
	}
}

// A udp connection of EventLoop.Register is closed by EventLoop.Close.
func TestGnetCloseOfUDP(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		closed := make(chan gnet.Conn, 1)
		a := &app{
			open: func(c gnet.Conn) ([]byte, gnet.Action) {
				if c.LocalAddr().Network() == "udp" && c.EventLoop().Close(c) != nil {
					t.Error("Close is refused")
				}
				return nil, gnet.None
			},
			close: func(c gnet.Conn, _ error) gnet.Action { closed <- c; return gnet.None },
		}
		a.boot = func(gnet.Engine) gnet.Action { return gnet.None }
		r := start(t, e, a, []string{"tcp"})
		if e.name == "gnet" {
			return // it closes what is being opened under itself
		}
		loop := make(chan gnet.EventLoop, 1)
		a.mu.Lock()
		a.traffic = func(c gnet.Conn) gnet.Action { loop <- c.EventLoop(); return gnet.None }
		a.mu.Unlock()
		c := r.dial(0)
		mustWrite(t, c, "x")
		res, err := got(t, "a loop", loop).Register(t.Context(), peer.LocalAddr())
		if err != nil {
			t.Fatal(err)
		}
		if rr := got(t, "Register", res); rr.Err != nil {
			t.Fatal(rr.Err)
		} else if c := got(t, "OnClose", closed); c != rr.Conn {
			t.Error("another connection was closed")
		}
	})
}

// Who asked for a callback is told by its error that the callback has ended the engine.
func TestGnetCallbackEndsTheEngine(t *testing.T) {
	for _, by := range []string{"Wake", "CloseWithCallback", "Wake, then OnClose", "EventLoop.Close"} {
		t.Run(by, func(t *testing.T) {
			onEachEngine(t, func(t *testing.T, e engine) {
				told := make(chan error, 1)
				tell := func(_ gnet.Conn, err error) error { told <- err; return nil }
				a := &app{
					open: func(c gnet.Conn) ([]byte, gnet.Action) {
						switch by {
						case "CloseWithCallback":
							c.CloseWithCallback(tell)
						case "EventLoop.Close":
							c.EventLoop().Execute(t.Context(), gnet.RunnableFunc(func(context.Context) error {
								told <- c.EventLoop().Close(c)
								return gneterrors.ErrEngineShutdown
							}))
						default:
							c.Wake(tell)
						}
						return nil, gnet.None
					},
					traffic: func(gnet.Conn) gnet.Action {
						if by == "Wake" {
							return gnet.Shutdown
						}
						return gnet.Close
					},
					close: func(gnet.Conn, error) gnet.Action {
						if by == "Wake" {
							return gnet.None
						}
						return gnet.Shutdown
					},
				}
				r := start(t, e, a, []string{"tcp"})
				r.dial(0)
				if err := got(t, "the callback", told); err != gneterrors.ErrEngineShutdown {
					t.Errorf("told %v, want %v", err, gneterrors.ErrEngineShutdown)
				}
				r.ended()
			})
		})
	}
}

// What is asked of an engine that has ended gets gnet's answer, as gnet's Engine
// gives it; and so does a keep-alive that cannot be.
func TestGnetErrorsAreGnets(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		refused := make(chan error, 1)
		a := &app{open: func(c gnet.Conn) ([]byte, gnet.Action) {
			refused <- c.SetKeepAlive(true, 0, 0, 0)
			return nil, gnet.None
		}}
		r := start(t, e, a, []string{"tcp"})
		r.dial(0)
		expect(t, "SetKeepAlive", got(t, "SetKeepAlive", refused).Error(), "invalid time duration")
		r.stop()
		for name, err := range map[string]error{
			"Dup": second(r.eng.Dup()), "DupListener": second(r.eng.DupListener("tcp", "x")), "Register": second(r.eng.Register(t.Context())),
		} {
			if err != gneterrors.ErrEngineInShutdown {
				t.Errorf("Engine.%s after the end: %v", name, err)
			}
		}
	})
	g := server.NewGnet(&app{engine: make(chan gnet.Engine, 1), ids: make(map[gnet.Conn]int)})
	addr := freeAddr(t, "tcp")
	done := keepAsync(func() error { return g.Run(addr, gnet.WithLogger(silent)) })
	for second(g.Dup()) != nil { // until it runs
		time.Sleep(time.Millisecond)
	}
	if err := g.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := got(t, "Run", done); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"Dup": second(g.Dup()), "DupListener": second(g.DupListener("tcp", hostPort(addr))), "Register": second(g.Register(t.Context())),
	} {
		if !errors.Is(err, gneterrors.ErrEngineInShutdown) {
			t.Errorf("Gnet.%s after the end: %v", name, err)
		}
	}
	expect(t, "connections after the end", g.CountConnections(), -1)
}

// Loops register udp connections at the same time: which of gnet's loops is next is not
// theirs to fight over (the race detector sees it).
func TestGnetRegistersUDPFromEveryLoop(t *testing.T) {
	peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	loops := make(chan gnet.EventLoop, 1)
	a := &app{open: func(c gnet.Conn) ([]byte, gnet.Action) {
		if _, udp := c.LocalAddr().(*net.UDPAddr); !udp {
			loops <- c.EventLoop()
		}
		return nil, gnet.None
	}}
	r := start(t, onEsca(""), a, []string{"tcp"}, gnet.WithNumEventLoop(2))
	r.dial(0)
	loop := got(t, "a loop", loops)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				res, err := loop.Register(t.Context(), peer.LocalAddr())
				if err != nil {
					t.Error(err)
					return
				}
				if reg := <-res; reg.Err != nil {
					t.Error(reg.Err)
				}
			}
		})
	}
	wg.Wait()
}

// asker asks for the end as a connection opens, and in OnShutdown what gnet's Engine
// knows until all is over.
type asker struct {
	gnet.BuiltinEventEngine
	g      *server.Gnet
	addr   string
	booted chan bool
	told   chan error
	conns  int
}

func (a *asker) OnBoot(gnet.Engine) gnet.Action { a.booted <- true; return gnet.None }

func (*asker) OnOpen(gnet.Conn) ([]byte, gnet.Action) { return nil, gnet.Shutdown }

func (a *asker) OnShutdown(gnet.Engine) {
	for _, dup := range []func() (int, error){a.g.Dup, func() (int, error) { return a.g.DupListener("tcp", hostPort(a.addr)) }} {
		fd, err := dup()
		if err == nil {
			err = syscall.Close(fd)
		}
		a.told <- err
	}
	a.conns = a.g.CountConnections()
}

// OnShutdown, although the end has been asked for by an action, still finds everything
// there, as gnet's.
func TestGnetIsThereInOnShutdown(t *testing.T) {
	a := &asker{addr: freeAddr(t, "tcp"), booted: make(chan bool, 1), told: make(chan error, 2)}
	a.g = server.NewGnet(a)
	done := keepAsync(func() error { return a.g.Run(a.addr, gnet.WithLogger(silent)) })
	got(t, "OnBoot", a.booted)
	c, err := net.Dial("tcp", hostPort(a.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, name := range []string{"Dup", "DupListener"} {
		if err := got(t, name, a.told); err != nil {
			t.Errorf("%s in OnShutdown: %v", name, err)
		}
	}
	if err := got(t, "Run", done); err != nil {
		t.Fatal(err)
	}
	if a.conns < 0 {
		t.Errorf("CountConnections in OnShutdown: %d", a.conns)
	}
}

// Options that streams have are no stumbling block where there is only udp.
func TestGnetUDPOnly(t *testing.T) {
	for _, opts := range [][]gnet.Option{
		nil, {gnet.WithReusePort(true)}, {gnet.WithReusePort(true), gnet.WithMulticore(true)}, {gnet.WithLoadBalancing(gnet.LeastConnections)},
	} {
		onEachEngine(t, func(t *testing.T, e engine) {
			r := start(t, e, &app{traffic: echo}, []string{"udp"}, opts...)
			c := r.dial(0)
			mustWrite(t, c, "x")
			mustRead(t, c, "x")
		})
	}
}
