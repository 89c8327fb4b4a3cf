//go:build linux && (amd64 || arm64)

package server_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// endings are ways to get and to serve a listener: fasthttp's own, and ours with
// both kinds of listener.
func endings() []stack {
	taken := esca("-taken")
	taken.listen = net.Listen
	return []stack{reference, esca("-listen"), taken}
}

// sockets are what listeners of a test listen on.
func sockets(t *testing.T) map[string]string {
	return map[string]string{"tcp4": "127.0.0.1:0", "unix": tempSocket(t)}
}

// Serve of a listener that has been closed before is over at once, and no error.
func TestServeOfAClosedListener(t *testing.T) {
	cert, _ := serverTLS(t)
	for _, st := range endings() {
		for network, addr := range sockets(t) {
			for _, keepalive := range []bool{false, true} {
				for _, tls := range []bool{false, true} {
					ln, err := st.listen(network, addr)
					if err != nil {
						t.Fatal(err)
					}
					ln.Close()
					fs := &fasthttp.Server{Handler: echoPath, TCPKeepalive: keepalive, Logger: new(lines)}
					serve := func() error { return st.server(fs).Serve(ln) }
					if tls {
						fs.TLSConfig = cert
						serve = func() error { return st.server(fs).ServeTLS(ln, "", "") }
					}
					if err := wait(t, keepAsync(serve), "Serve"); err != nil {
						t.Errorf("%s, %s, TLS %v, TCPKeepalive %v: %v", st.name, network, tls, keepalive, err)
					}
				}
			}
		}
	}
}

// To close the listener ends Serve, and nothing else: connections go on until a
// Shutdown.
func TestCloseEndsServe(t *testing.T) {
	for _, st := range endings() {
		for network, addr := range sockets(t) {
			t.Run(st.name+", "+network, func(t *testing.T) {
				ln, err := st.listen(network, addr)
				if err != nil {
					t.Fatal(err)
				}
				fs := &fasthttp.Server{Handler: echoPath, Logger: new(lines)}
				s := st.server(fs)
				served := keepAsync(func() error { return s.Serve(ln) })
				nc, err := net.Dial(network, ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				c := rawClient(t, nc)
				expect(t, "answer", c.get("/before"), "/before")
				keepUndone(t, served, "Serve returned")
				if err := ln.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if err := wait(t, served, "Serve"); err != nil {
					t.Errorf("Serve: %v", err)
				}
				if _, err := os.Stat(addr); network == "unix" && !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the socket's file: %v", err)
				}
				expect(t, "answer", c.get("/after"), "/after")
				if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("Close once more: %v", err)
				}
				if err := wait(t, keepAsync(fs.Shutdown), "Shutdown"); err != nil && st.name != reference.name {
					t.Errorf("Shutdown: %v", err)
				}
				expect(t, "what follows", c.rest(), "")
			})
		}
	}
}

// A taken over listener keeps what it has: its file descriptor, for who passes it on
// to a new process, and its address; a deadline does not end it.
func TestTakenListenerIsItsOwner(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := esca("").serve(t, &fasthttp.Server{Handler: echoPath, Logger: new(lines)}, ln)
	expect(t, "answer", r.dial(t).get("/a"), "/a")
	tl := ln.(*net.TCPListener)
	f, err := tl.File()
	if err != nil {
		t.Fatalf("File: %v", err)
	}
	f.Close()
	if err := tl.SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	expect(t, "answer after a deadline", r.dial(t).get("/b"), "/b")
	keepUndone(t, r.done, "Serve returned")
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
}

// Serve begins and is ended at the same time, in every order, by everything that
// ends it. ESCA_ROUNDS says how often, ESCA_FIRST_ROUND where to begin: a round has its
// dice from its number.
func TestServeAndEndAtOnce(t *testing.T) {
	number := func(name string, or int) int {
		if v := os.Getenv(name); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil {
				t.Fatalf("%s=%q is not a number", name, v)
			}
			return n
		}
		return or
	}
	first := number("ESCA_FIRST_ROUND", 1)
	last := first + number("ESCA_ROUNDS", 300) - 1
	const atOnce = 32 // as a Shutdown that has to wait looks every 100 ms
	var next atomic.Int64
	next.Store(int64(first - 1))
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for i := next.Add(1); int(i) <= last && !t.Failed(); i = next.Add(1) {
				endRound(t, uint64(i))
			}
		})
	}
	all.Wait()
}

// endRound is one Serve of a server that is ended in two ways, by the dice of seed.
func endRound(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	listen := func() (net.Listener, error) { return conn.Listen("tcp4", "127.0.0.1:0", conn.WithLoops(1+rnd.IntN(2))) }
	if rnd.IntN(2) == 0 {
		listen = func() (net.Listener, error) { return net.Listen("tcp4", "127.0.0.1:0") }
	}
	ln, err := listen()
	if err != nil {
		t.Error(err)
		return
	}
	fs := &fasthttp.Server{Handler: echoPath, CloseOnShutdown: true, Logger: new(lines)}
	s := server.New(fs, conn.WithLoops(1+rnd.IntN(2)))
	expired, cancel := context.WithCancel(context.Background())
	cancel()
	soon, cancel := context.WithTimeout(context.Background(), time.Duration(rnd.IntN(2000))*time.Microsecond)
	defer cancel()
	ends := []func() error{
		fs.Shutdown,
		func() error { return s.Shutdown(context.Background()) },
		func() error { return fs.ShutdownWithContext(expired) },
		func() error { return fs.ShutdownWithContext(soon) },
		ln.Close,
		func() error { // a client, who sees whatever he sees
			c, err := net.Dial("tcp4", ln.Addr().String())
			if err == nil {
				c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
				c.Close()
			}
			return err
		},
	}
	serves := []func() error{func() error { return s.Serve(ln) }}
	if rnd.IntN(4) == 0 { // and on another listener of the same server
		other, err := listen()
		if err != nil {
			t.Error(err)
			return
		}
		defer other.Close()
		serves = append(serves, func() error { return s.Serve(other) })
		ends = append(ends, other.Close)
	}
	begin := make(chan struct{})
	async := func(f func() error) <-chan error {
		pause := rnd.IntN(200)
		return keepAsync(func() error {
			<-begin
			for range pause {
				runtime.Gosched()
			}
			return f()
		})
	}
	var served, ended []<-chan error
	for _, f := range serves {
		served = append(served, async(f))
	}
	for range 1 + rnd.IntN(3) {
		ended = append(ended, async(ends[rnd.IntN(len(ends))]))
	}
	close(begin)
	for _, ch := range ended {
		endedOf(t, seed, "what ends Serve", ch)
	}
	// A Shutdown that was there before Serve has ended nothing, as with fasthttp.
	for _, end := range ends[4:] {
		end()
	}
	for _, ch := range served {
		if err := endedOf(t, seed, "Serve", ch); err != nil {
			t.Errorf("round %d: Serve: %v", seed, err)
		}
	}
	if err := endedOf(t, seed, "the last Shutdown", keepAsync(fs.Shutdown)); err != nil {
		t.Errorf("round %d: Shutdown: %v", seed, err)
	}
}

func endedOf(t *testing.T, seed uint64, what string, ch <-chan error) error {
	select {
	case err := <-ch:
		return err
	case <-time.After(2 * generous):
		buf := make([]byte, 1<<20)
		t.Errorf("round %d: %s does not return\n%s", seed, what, buf[:runtime.Stack(buf, true)])
		return nil
	}
}

// A second Serve on a listener says so, and leaves the first alone.
func TestServeOnAListenerInUse(t *testing.T) {
	ln, err := conn.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first, second := server.New(&fasthttp.Server{Handler: echoPath}), server.New(&fasthttp.Server{Handler: echoPath})
	done := make(chan error, 1)
	go func() { done <- first.Serve(ln) }()
	resp, err := http.Get("http://" + ln.Addr().String() + "/x")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	expectErr(t, "the second", second.Serve(ln), conn.ErrInUse)
	if resp, err = http.Get("http://" + ln.Addr().String() + "/x"); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if err := first.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := wait(t, done, "the first"); err != nil {
		t.Error(err)
	}
}
