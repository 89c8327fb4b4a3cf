//go:build linux && (amd64 || arm64)

package server_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// patience is how long the overload tests wait for what has to happen.
const patience = 60 * time.Second

// overloaded is a server under test, and what it holds.
type overloaded struct {
	*server.Server
	addr string
}

func startOverloaded(t *testing.T, fs *fasthttp.Server, opts ...conn.Option) *overloaded {
	t.Helper()
	fs.Logger = quiet{}
	ln, err := conn.Listen("tcp4", "127.0.0.1:0", append([]conn.Option{conn.WithLoops(2)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(fs)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v, with %+v", err, s.Stats())
		}
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return &overloaded{s, ln.Addr().String()}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// until polls what has no event to wait for.
func (o *overloaded) until(t *testing.T, what string, cond func(server.Stats) bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !cond(o.Stats()); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never: %s; %+v", what, o.Stats())
		}
	}
}

func (o *overloaded) empty(t *testing.T) {
	t.Helper()
	o.until(t, "every connection and worker comes back", func(s server.Stats) bool {
		return s.Open == 0 && s.IdleWorkers == s.Workers
	})
}

// answers has the server answer one request on a connection of its own.
func (o *overloaded) answers(t *testing.T) {
	t.Helper()
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + o.addr + "/ping")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "pong" {
		t.Fatalf("%q, %v", b, err)
	}
}

// dialMany opens n connections and writes request on each.
func (o *overloaded) dialMany(t *testing.T, n int, request string) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		c, err := net.Dial("tcp4", o.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		conns[i] = c
	}
	return conns
}

const bigFile = 100 << 20

// bigServer answers /ping, /file with 100 MiB from a file, /body with 1 MiB from memory.
func bigServer(t *testing.T) *fasthttp.Server {
	name := filepath.Join(t.TempDir(), "big")
	f, err := os.Create(name)
	if err == nil {
		err = errors.Join(f.Truncate(bigFile), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("esca"), 256<<10)
	return &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		switch string(ctx.Path()) {
		case "/ping":
			ctx.SetBodyString("pong")
		case "/body":
			ctx.SetBody(body)
		case "/file":
			f, err := os.Open(name)
			if err != nil {
				ctx.Error(err.Error(), 500)
				return
			}
			ctx.SetBodyStream(f, bigFile)
		}
	}}
}

func TestOverloadTenThousandConnections(t *testing.T) {
	if want := os.Getenv("ESCA_TEST_DIAL"); want != "" {
		dialChild(want, os.Getenv("ESCA_TEST_CONNS"))
		return
	}
	n := 10_000
	if testing.Short() {
		n = 500
	}
	raiseFiles(t, n+200)
	o := startOverloaded(t, bigServer(t))
	// The clients are another process: the limit of open files is per process.
	cmd := exec.Command(os.Args[0], "-test.run=^TestOverloadTenThousandConnections$")
	cmd.Env = append(os.Environ(), "ESCA_TEST_DIAL="+o.addr, "ESCA_TEST_CONNS="+strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "all answered\n" {
		t.Fatalf("the clients say %q (%v)", line, err)
	}
	if s := o.Stats(); s.Open != n {
		t.Errorf("%d connections are open, want %d", s.Open, n)
	}
	o.until(t, "idle connections hold no worker", func(s server.Stats) bool { return s.Idle == s.Open })
	o.answers(t)
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	o.empty(t)
}

// dialChild opens connections, has two requests answered on each, says so, and
// keeps them until its standard input ends.
func dialChild(addr, count string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	n, err := strconv.Atoi(count)
	fail(err)
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i], err = net.Dial("tcp4", addr)
		fail(err)
	}
	for range 2 {
		for _, c := range conns {
			_, err := io.WriteString(c, "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
			fail(err)
		}
		for _, c := range conns {
			c.SetReadDeadline(time.Now().Add(patience))
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			fail(err)
			b, err := io.ReadAll(resp.Body)
			fail(err)
			if string(b) != "pong" {
				fail(fmt.Errorf("got %q", b))
			}
		}
	}
	fmt.Println("all answered")
	io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(conns) // else Go closes them before
	os.Exit(0)
}

// raiseFiles sees to it that n files can be open.
func raiseFiles(t *testing.T, n int) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	if lim.Cur >= uint64(n) {
		return
	}
	want := unix.Rlimit{Cur: uint64(n), Max: max(lim.Max, uint64(n))}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &want); err != nil {
		if os.Getuid() == 0 {
			t.Fatalf("%d open files: %v", n, err)
		}
		t.Skipf("needs %d open files, has %d and may not raise it: ulimit -n", n, lim.Cur)
	}
}

func TestOverloadSlowReadersOfALargeFile(t *testing.T) {
	o := startOverloaded(t, bigServer(t))
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	conns := o.dialMany(t, 100, "GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
	// All of them wait for a reader: nothing goes out any more.
	var last uint64
	still := 0
	o.until(t, "the sockets are full", func(s server.Stats) bool {
		if s.BytesOut != last {
			last, still = s.BytesOut, 0
			return false
		}
		still++
		return s.BytesOut > 0 && still > 20
	})
	if grown := int64(heap()) - int64(before); grown > 20<<20 {
		t.Errorf("100 readers that do not read cost %d MiB of heap", grown>>20)
	}
	o.answers(t)
	for _, c := range conns[:2] {
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != bigFile || err != nil {
			t.Errorf("read %d bytes (%v), want %d", n, err, bigFile)
		}
	}
	for _, c := range conns {
		c.Close()
	}
	o.empty(t)
}

func TestOverloadTimeoutsFreeConnections(t *testing.T) {
	const short = 200 * time.Millisecond
	for _, tt := range []struct {
		name    string
		set     func(*fasthttp.Server)
		request string
		answer  string // how it begins; empty: none is required
	}{
		{"slow headers", func(fs *fasthttp.Server) { fs.ReadTimeout = short }, "GET /ping HTTP/1.1\r\nHo", "HTTP/1.1 40"},
		{"nothing sent", func(fs *fasthttp.Server) { fs.ReadTimeout = short }, "", "HTTP/1.1 408"},
		{"slow body", func(fs *fasthttp.Server) { fs.ReadTimeout = short }, "POST /ping HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", "HTTP/1.1 408"},
		{"idle after a request", func(fs *fasthttp.Server) { fs.IdleTimeout = short }, "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200"},
		{"never reads a file", func(fs *fasthttp.Server) { fs.WriteTimeout = short }, "GET /file HTTP/1.1\r\nHost: x\r\n\r\n", ""},
		{"never reads", func(fs *fasthttp.Server) { fs.WriteTimeout = short }, strings.Repeat("GET /body HTTP/1.1\r\nHost: x\r\n\r\n", 32), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fs := bigServer(t)
			tt.set(fs)
			o := startOverloaded(t, fs, conn.WithLinger(short))
			conns := o.dialMany(t, 200, tt.request)
			o.until(t, "all are accepted", func(s server.Stats) bool { return s.Accepted == 200 })
			o.empty(t)
			if tt.answer == "" {
				return
			}
			for _, c := range conns {
				b, err := io.ReadAll(c)
				if errors.Is(err, unix.ECONNRESET) {
					continue // it was late in sending: the time had passed before
				}
				if err != nil || !strings.HasPrefix(string(b), tt.answer) {
					t.Fatalf("%q, %v; want %s", b, err, tt.answer)
				}
			}
		})
	}
}

func TestOverloadResetsInMidResponse(t *testing.T) {
	o := startOverloaded(t, bigServer(t))
	for _, path := range []string{"/file", "/body", "/ping"} {
		var wg sync.WaitGroup
		for _, c := range o.dialMany(t, 200, strings.Repeat("GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n", 4)) {
			wg.Go(func() {
				io.ReadFull(c, make([]byte, 100))
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
			})
		}
		wg.Wait()
		o.empty(t)
		o.answers(t)
	}
}
