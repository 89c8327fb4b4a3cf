//go:build linux && (amd64 || arm64)

package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/logging"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/poller/faulty"
	"github.com/escahttp/esca/server"
)

// engine is a way to run a gnet.EventHandler. Tests run on each of engines, of
// which the first is gnet's own, and expect the same of all.
type engine struct {
	name string
	run  func(h gnet.EventHandler, addrs []string, opts ...gnet.Option) error
}

var gnetItself = engine{"gnet", gnet.Rotate}

// onEsca runs handlers on esca's loops.
func onEsca(name string, opts ...conn.Option) engine {
	return engine{"esca" + name, func(h gnet.EventHandler, addrs []string, o ...gnet.Option) error {
		return server.NewGnet(h, opts...).Rotate(addrs, o...)
	}}
}

// engines has gnet's own, and esca on every backend there is.
func engines() []engine {
	es := []engine{gnetItself}
	for _, p := range poller.Probes() {
		if p.Status == poller.Available {
			es = append(es, onEsca("-"+p.Name, conn.WithBackend(p.Name)))
		}
	}
	rates := faulty.DefaultRates()
	rates.Reset = 0 // what every application sees is to be the same
	return append(es,
		onEsca("-goroutines", conn.WithDispatch(conn.DispatchGoroutine)),
		onEsca("-faulty", conn.WithFactory(faulty.New(1, poller.Direct, faulty.WithRates(rates)))))
}

func onEachEngine(t *testing.T, test func(*testing.T, engine)) {
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			test(t, e)
		})
	}
}

// event is a callback, in the order they came.
type event struct {
	what string
	conn int // which one, in the order they were opened; -1: none
}

// app is a gnet.EventHandler made of functions, which records its callbacks.
type app struct {
	gnet.BuiltinEventEngine
	open    func(gnet.Conn) ([]byte, gnet.Action)
	traffic func(gnet.Conn) gnet.Action
	close   func(gnet.Conn, error) gnet.Action
	tick    func() (time.Duration, gnet.Action)
	boot    func(gnet.Engine) gnet.Action

	engine chan gnet.Engine

	mu     sync.Mutex
	events []event
	ids    map[gnet.Conn]int
	opened int
}

func (a *app) note(c gnet.Conn, what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := -1
	if c != nil {
		var ok bool
		if id, ok = a.ids[c]; !ok {
			id = a.opened
			a.ids[c] = id
			a.opened++
		}
	}
	e := event{what, id}
	if what == "traffic" && slices.Contains(a.events, e) && a.lastOf(id) == e {
		return // how a stream is cut into reads is nobody's to say
	}
	a.events = append(a.events, e)
}

func (a *app) lastOf(id int) event {
	for _, e := range slices.Backward(a.events) {
		if e.conn == id {
			return e
		}
	}
	return event{}
}

// of returns what was recorded for one connection, or -1 for the engine.
func (a *app) of(id int) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var s []string
	for _, e := range a.events {
		if e.conn == id {
			s = append(s, e.what)
		}
	}
	return strings.Join(s, " ")
}

func (a *app) OnBoot(eng gnet.Engine) gnet.Action {
	a.note(nil, "boot")
	action := gnet.None
	if a.boot != nil {
		action = a.boot(eng)
	}
	a.engine <- eng
	return action
}

func (a *app) OnShutdown(gnet.Engine) { a.note(nil, "shutdown") }

func (a *app) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	a.note(c, "open")
	if a.open == nil {
		return nil, gnet.None
	}
	return a.open(c)
}

func (a *app) OnTraffic(c gnet.Conn) gnet.Action {
	if _, udp := c.LocalAddr().(*net.UDPAddr); !udp { // each datagram has a Conn of its own
		a.note(c, "traffic")
	}
	if a.traffic == nil {
		return gnet.None
	}
	return a.traffic(c)
}

func (a *app) OnClose(c gnet.Conn, err error) gnet.Action {
	a.note(c, "close:"+errName(err))
	if a.close == nil {
		return gnet.None
	}
	return a.close(c, err)
}

func (a *app) OnTick() (time.Duration, gnet.Action) {
	if a.tick == nil {
		return time.Hour, gnet.None
	}
	return a.tick()
}

func errName(err error) string {
	for name, is := range map[string]error{
		"eof": io.EOF, "reset": syscall.ECONNRESET, "pipe": syscall.EPIPE,
		"timeout": os.ErrDeadlineExceeded, "closed": net.ErrClosed,
	} {
		if errors.Is(err, is) {
			return name
		}
	}
	if err != nil {
		return err.Error()
	}
	return "nil"
}

// onEngine is an app on an engine.
type onEngine struct {
	*app
	t    testing.TB
	eng  gnet.Engine
	addr []string // as given
	done chan error
}

// silent is a logger for engines whose lines nobody wants.
var silent = func() logging.Logger {
	l, _, err := logging.CreateLoggerAsLocalFile("/dev/null", logging.FatalLevel)
	if err != nil {
		panic(err)
	}
	return l
}()

// start runs a on e, on an address of each network: tcp, unix or udp.
func start(t testing.TB, e engine, a *app, networks []string, opts ...gnet.Option) *onEngine {
	t.Helper()
	var addrs []string
	for _, network := range networks {
		addrs = append(addrs, freeAddr(t, network))
	}
	return startAt(t, e, a, addrs, opts...)
}

// startAt is start, on addresses.
func startAt(t testing.TB, e engine, a *app, addrs []string, opts ...gnet.Option) *onEngine {
	t.Helper()
	a.engine, a.ids = make(chan gnet.Engine, 1), make(map[gnet.Conn]int)
	r := &onEngine{app: a, t: t, addr: addrs, done: make(chan error, 1)}
	opts = append([]gnet.Option{gnet.WithLogger(silent)}, opts...)
	go func() { r.done <- e.run(a, r.addr, opts...) }()
	select {
	case r.eng = <-a.engine:
	case err := <-r.done:
		t.Fatalf("%s does not run: %v", e.name, err)
	}
	t.Cleanup(r.stop)
	return r
}

// stop stops the engine, and sees that Run returns.
func (r *onEngine) stop() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // Stop itself looks twice a second; Run's return tells sooner
	if err := r.eng.Stop(ctx); err != nil && !errors.Is(err, ctx.Err()) && !errors.Is(err, gneterrors.ErrEngineInShutdown) {
		r.t.Errorf("Stop: %v", err)
	}
	r.ended()
}

// ended waits for Run to return.
func (r *onEngine) ended() {
	r.t.Helper()
	select {
	case err := <-r.done:
		if err != nil {
			r.t.Errorf("Run: %v", err)
		}
		r.done <- nil
	case <-time.After(generous):
		r.t.Error("Run does not return")
	}
}

// dial connects to address i.
func (r *onEngine) dial(i int) net.Conn {
	r.t.Helper()
	network, addr, _ := strings.Cut(r.addr[i], "://")
	c, err := net.Dial(network, addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(generous))
	return c
}

// until waits for the events of connection id to be want.
func (r *onEngine) until(id int, want string) {
	r.t.Helper()
	deadline := time.Now().Add(generous)
	for r.of(id) != want {
		if time.Now().After(deadline) {
			r.t.Fatalf("events of connection %d: %q, want %q", id, r.of(id), want)
		}
		time.Sleep(time.Millisecond)
	}
}

func mustWrite(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, r io.Reader, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if n, err := io.ReadFull(r, b); err != nil || string(b) != want {
		t.Fatalf("read %.200q, %v; want %.200q", b[:n], err, want)
	}
}

// mustEnd reads the end of the stream.
func mustEnd(t *testing.T, r io.Reader) {
	t.Helper()
	if n, err := io.Copy(io.Discard, r); n != 0 || err != nil {
		t.Fatalf("%d bytes more, %v; want the end of the stream", n, err)
	}
}

func hostPort(given string) string { _, a, _ := strings.Cut(given, "://"); return a }
