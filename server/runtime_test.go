package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// generous is when a test that waits for what must happen gives up.
const generous = 30 * time.Second

// short is the timeout of servers under test that must let one pass.
const short = 150 * time.Millisecond

// stack is a way to serve a fasthttp.Server. Tests run on each of stacks, of
// which the first is fasthttp's own, and expect the same of all.
type stack struct {
	name   string
	listen func(network, addr string) (net.Listener, error)
	server func(*fasthttp.Server) served
}

// served is what *server.Server and fasthttp have in common.
type served interface {
	Serve(net.Listener) error
	ServeTLS(ln net.Listener, certFile, keyFile string) error
	Shutdown(context.Context) error
}

type plain struct{ *fasthttp.Server }

func (p plain) Shutdown(ctx context.Context) error { return p.ShutdownWithContext(ctx) }

var reference = stack{"fasthttp", net.Listen, func(fs *fasthttp.Server) served { return plain{fs} }}

func esca(name string, opts ...conn.Option) stack {
	return stack{
		name:   "esca" + name,
		listen: func(network, addr string) (net.Listener, error) { return conn.Listen(network, addr, opts...) },
		server: func(fs *fasthttp.Server) served { return server.New(fs) },
	}
}

// onOneLoop has every handler run on the same loop.
var onOneLoop = esca("-1-adaptive", conn.WithLoops(1))

func escas() []stack {
	return []stack{
		onOneLoop,
		esca("-1-inline", conn.WithLoops(1), conn.WithDispatch(conn.DispatchInline)),
		esca("-2-goroutines", conn.WithLoops(2), conn.WithDispatch(conn.DispatchGoroutine)),
		esca("-2-adaptive", conn.WithLoops(2)),
	}
}

func stacks() []stack { return append([]stack{reference}, escas()...) }

// onEach runs test on every stack.
func onEach(t *testing.T, test func(*testing.T, stack)) {
	for _, st := range stacks() {
		t.Run(st.name, func(t *testing.T) {
			t.Parallel()
			test(t, st)
		})
	}
}

// running is a server being served by a stack.
type running struct {
	served
	fs   *fasthttp.Server
	addr string
	done chan error // what Serve returned
	once sync.Once
}

func (st stack) start(t *testing.T, fs *fasthttp.Server) *running {
	t.Helper()
	return st.startOn(t, fs, "tcp4", "127.0.0.1:0")
}

// startOn serves fs until the test ends, over TLS if fs has a TLSConfig.
func (st stack) startOn(t *testing.T, fs *fasthttp.Server, network, addr string) *running {
	t.Helper()
	if fs.Logger == nil {
		fs.Logger = new(lines)
	}
	ln, err := st.listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	return st.serve(t, fs, ln)
}

func (st stack) serve(t *testing.T, fs *fasthttp.Server, ln net.Listener) *running {
	r := &running{served: st.server(fs), fs: fs, addr: ln.Addr().String(), done: make(chan error, 1)}
	go func() {
		if fs.TLSConfig != nil {
			r.done <- r.ServeTLS(ln, "", "")
			return
		}
		r.done <- r.Serve(ln)
	}()
	t.Cleanup(func() { r.stop(t) })
	return r
}

// stop shuts r down, and has it say that all went well.
func (r *running) stop(t *testing.T) {
	t.Helper()
	r.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), generous)
		defer cancel()
		if err := r.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := wait(t, r.done, "Serve to return"); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// wait receives from ch, or fails.
func wait[T any](t *testing.T, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(generous):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

// client is a raw connection to a server.
type client struct {
	net.Conn
	t  *testing.T
	br *bufio.Reader
}

func (r *running) dial(t *testing.T) *client {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(r.addr, "/") {
		network = "unix"
	}
	c, err := net.Dial(network, r.addr)
	if err != nil {
		t.Fatal(err)
	}
	return rawClient(t, c)
}

func rawClient(t *testing.T, c net.Conn) *client {
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(generous))
	return &client{c, t, bufio.NewReader(c)}
}

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, format, args...); err != nil {
		c.t.Fatal(err)
	}
}

// get sends a request and returns the body of the response.
func (c *client) get(path string) string {
	c.t.Helper()
	c.send("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	status, body := c.response()
	if status != 200 {
		c.t.Fatalf("GET %s: status %d, %q", path, status, body)
	}
	return body
}

// response reads a response.
func (c *client) response() (status int, body string) {
	c.t.Helper()
	resp := c.head()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("body: %v after %d bytes", err, len(b))
	}
	return resp.StatusCode, string(b)
}

// head reads a response, but for its body.
func (c *client) head() *http.Response {
	c.t.Helper()
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil {
		c.t.Fatalf("no response: %v", err)
	}
	return resp
}

// rest reads until the server closes. How it does (a kernel resets when bytes
// are left unread) is not told.
func (c *client) rest() string {
	c.t.Helper()
	b, err := io.ReadAll(c.br)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("not closed: %v after %q", err, b)
	}
	return string(b)
}

func (c *client) closeWrite() {
	c.t.Helper()
	err := c.Conn.(interface{ CloseWrite() error }).CloseWrite()
	if err != nil && !errors.Is(err, syscall.ENOTCONN) { // reset by a server that answered first
		c.t.Fatal(err)
	}
}

// expect fails unless got is want.
func expect[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// expectErr fails unless err is one of want.
func expectErr(t *testing.T, what string, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	t.Errorf("%s: got error %v, want %v", what, err, want)
}

// states records what a ConnState hook is told.
type states struct {
	mu   sync.Mutex
	of   map[net.Conn]string
	told chan stateChange
}

type stateChange struct {
	c  net.Conn
	to fasthttp.ConnState
}

// watchStates sets fs's hook.
func watchStates(fs *fasthttp.Server) *states {
	s := &states{of: make(map[net.Conn]string), told: make(chan stateChange, 4096)}
	fs.ConnState = func(c net.Conn, to fasthttp.ConnState) {
		s.mu.Lock()
		s.of[c] += to.String() + " "
		s.mu.Unlock()
		s.told <- stateChange{c, to}
	}
	return s
}

// until waits until some connection has reached the state, and returns it.
func (s *states) until(t *testing.T, state fasthttp.ConnState) net.Conn {
	t.Helper()
	for {
		if ch := wait(t, s.told, "a connection to be "+state.String()); ch.to == state {
			return ch.c
		}
	}
}

// all returns the states that each connection went through.
func (s *states) all() map[net.Conn]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.of)
}

// only returns the states of the one connection there was.
func (s *states) only(t *testing.T) string {
	t.Helper()
	all := s.all()
	if len(all) != 1 {
		t.Errorf("told of %d connections, want 1: %v", len(all), all)
	}
	for _, seq := range all {
		return strings.TrimSpace(seq)
	}
	return ""
}

// lines is a Logger that keeps what it is given.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, fmt.Sprintf(format, args...))
}

func (l *lines) String() string { return strings.Join(l.snapshot(), "\n") }

// tempSocket returns a short path for a unix socket.
func tempSocket(t *testing.T) string {
	dir, err := os.MkdirTemp("", "esca")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir + "/s"
}

func (l *lines) snapshot() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}
