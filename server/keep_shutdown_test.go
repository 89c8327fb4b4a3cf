//go:build linux && (amd64 || arm64)

package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/server"
)

// keepUndone fails if ch has something already.
func keepUndone[T any](t *testing.T, ch <-chan T, what string) {
	t.Helper()
	select {
	case v := <-ch:
		t.Fatalf("%s already: %v", what, v)
	default:
	}
}

// keepAsync runs f and returns what it returns.
func keepAsync[T any](f func() T) <-chan T {
	ch := make(chan T, 1)
	go func() { ch <- f() }()
	return ch
}

// The user's own fs.Shutdown, and the Server's, wait for what runs, close what
// is idle and tell handlers by ctx.Done.
func TestKeepShutdownWaits(t *testing.T) {
	for _, tt := range []struct {
		name            string
		own             bool
		closeOnShutdown bool
	}{
		{"fs.Shutdown", true, false},
		{"fs.Shutdown, CloseOnShutdown", true, true},
		{"Shutdown", false, false},
		{"Shutdown, CloseOnShutdown", false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				b := newKeepBlocker()
				told := make(chan error, 1)
				fs := &fasthttp.Server{CloseOnShutdown: tt.closeOnShutdown, Handler: func(ctx *fasthttp.RequestCtx) {
					b.handle(ctx)
					if string(ctx.Path()) == "/block" {
						<-ctx.Done()
						told <- ctx.Err()
					}
				}}
				r := st.start(t, fs)
				idle, busy := r.dial(t), r.dial(t)
				idle.get("/idle")
				busy.send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
				wait(t, b.entered, "the handler")
				shut := keepAsync(func() error {
					if tt.own {
						return fs.Shutdown()
					}
					return r.Shutdown(context.Background())
				})
				expect(t, "what an idle connection gets", idle.rest(), "")
				keepUndone(t, shut, "Shutdown returned")
				b.leave <- true
				expectErr(t, "ctx.Err", wait(t, told, "ctx.Done"), context.Canceled)
				resp := busy.head()
				expect(t, "status of what was running", resp.StatusCode, 200)
				expect(t, "Connection: close", resp.Close, tt.closeOnShutdown)
				expect(t, "what follows", busy.rest(), "/block ")
				if err := wait(t, shut, "Shutdown"); err != nil {
					t.Errorf("Shutdown: %v", err)
				}
				r.stop(t) // Serve has returned nil
				if c, err := net.Dial("tcp4", r.addr); err == nil {
					c.Close()
					t.Error("still accepts")
				}
			})
		})
	}
}

// A Shutdown that cannot wait any longer returns its context's error; what runs
// is answered nevertheless, and the server serves again.
func TestKeepShutdownExpires(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		b := newKeepBlocker()
		fs := &fasthttp.Server{Handler: b.handle}
		r := st.start(t, fs)
		busy := r.dial(t)
		busy.send("GET /block HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		wait(t, b.entered, "the handler")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		expectErr(t, "Shutdown", r.Shutdown(ctx), context.Canceled)
		b.leave <- true
		_, body := busy.response()
		expect(t, "answer of what was running", body, "/block ")
		expect(t, "what follows", busy.rest(), "")
		r.stop(t)

		ln, err := st.listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		again := &running{served: r.served, fs: fs, addr: ln.Addr().String(), done: make(chan error, 1)}
		go func() { again.done <- again.Serve(ln) }()
		expect(t, "answer of the server once more", again.dial(t).get("/again"), "/again ")
		again.stop(t)
	})
}

func TestKeepServeAgain(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		fired := make(chan bool, 1)
		b := newKeepBlocker()
		fs := &fasthttp.Server{Logger: new(lines), Handler: func(ctx *fasthttp.RequestCtx) {
			select {
			case <-ctx.Done():
				ctx.Error("shut down", 500)
				return
			default:
			}
			b.handle(ctx)
			if string(ctx.Path()) == "/block" {
				<-ctx.Done()
				fired <- true
			}
		}}
		srv := st.server(fs)
		for range 3 {
			ln, err := st.listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			r := &running{served: srv, fs: fs, addr: ln.Addr().String(), done: make(chan error, 1)}
			go func() { r.done <- srv.Serve(ln) }()
			c := r.dial(t)
			expect(t, "answer", c.get("/"), "/ ")
			c.send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
			wait(t, b.entered, "the handler")
			b.leave <- true
			keepUndone(t, fired, "ctx.Done fired")
			r.stop(t)
			wait(t, fired, "ctx.Done")
			c.response()
			expect(t, "what follows", c.rest(), "")
		}
	})
}

// When only the listener is closed, Serve returns nil and connections go on,
// until a Shutdown, which waits for them.
func TestKeepListenerClosed(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		ln, err := st.listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		b := newKeepBlocker()
		fs := &fasthttp.Server{Logger: new(lines), Handler: b.handle}
		srv := st.server(fs)
		r := &running{served: srv, fs: fs, addr: ln.Addr().String(), done: make(chan error, 1)}
		go func() { r.done <- srv.Serve(ln) }()
		idle, busy := r.dial(t), r.dial(t)
		idle.get("/before")
		busy.send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
		wait(t, b.entered, "the handler")
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		if err := wait(t, r.done, "Serve"); err != nil {
			t.Errorf("Serve: %v", err)
		}
		for range 3 {
			expect(t, "answer after", idle.get("/after"), "/after ")
		}
		b.leave <- true
		_, body := busy.response()
		expect(t, "answer of what was running", body, "/block ")
		expect(t, "answer on the same", busy.get("/after"), "/after ")
		idle.Close()
		busy.Close()
		srv.Shutdown(context.Background())
	})
}

// A Shutdown after the listener was closed alone waits for what runs all the
// same.
func TestKeepListenerClosedThenShutdown(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		ln, err := st.listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		b := newKeepBlocker()
		told := make(chan bool, 1)
		fs := &fasthttp.Server{Logger: new(lines), Handler: func(ctx *fasthttp.RequestCtx) {
			b.handle(ctx)
			if string(ctx.Path()) == "/block" {
				<-ctx.Done()
				told <- true
			}
		}}
		srv := st.server(fs)
		r := &running{served: srv, fs: fs, addr: ln.Addr().String(), done: make(chan error, 1)}
		go func() { r.done <- srv.Serve(ln) }()
		idle, busy := r.dial(t), r.dial(t)
		idle.get("/before")
		busy.send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
		wait(t, b.entered, "the handler")
		ln.Close()
		wait(t, r.done, "Serve")
		shut := keepAsync(func() bool {
			srv.Shutdown(context.Background()) // fasthttp's tells that the listener was closed before
			return true
		})
		expect(t, "what an idle connection gets", idle.rest(), "")
		keepUndone(t, shut, "Shutdown returned")
		b.leave <- true
		wait(t, told, "ctx.Done")
		_, body := busy.response()
		expect(t, "answer of what was running", body, "/block ")
		expect(t, "what follows", busy.rest(), "")
		wait(t, shut, "Shutdown")
	})
}

// keepForeign is a listener that esca knows nothing of.
type keepForeign struct{ net.Listener }

// keepListeners are kinds of listener that Serve takes.
var keepListeners = []struct {
	name   string
	listen func(t *testing.T, st stack) (net.Listener, error)
	onto   bool // taken onto loops
}{
	{"conn.Listen tcp", func(_ *testing.T, st stack) (net.Listener, error) { return st.listen("tcp", "127.0.0.1:0") }, true},
	{"conn.Listen unix", func(t *testing.T, st stack) (net.Listener, error) { return st.listen("unix", tempSocket(t)) }, true},
	{"net.TCPListener", func(*testing.T, stack) (net.Listener, error) { return net.Listen("tcp4", "127.0.0.1:0") }, true},
	{"net.UnixListener", func(t *testing.T, _ stack) (net.Listener, error) { return net.Listen("unix", tempSocket(t)) }, true},
	{"foreign", func(*testing.T, stack) (net.Listener, error) {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		return keepForeign{ln}, err
	}, false},
}

func TestKeepListeners(t *testing.T) {
	for _, tt := range keepListeners {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				ln, err := tt.listen(t, st)
				if err != nil {
					t.Fatal(err)
				}
				conns := make(chan net.Conn, 1)
				fs := &fasthttp.Server{Logger: new(lines), Handler: func(ctx *fasthttp.RequestCtx) {
					conns <- ctx.Conn()
					ctx.WriteString(ctx.RemoteAddr().Network() + " " + ctx.LocalAddr().String())
				}}
				r := st.serve(t, fs, ln)
				for range 2 {
					c := r.dial(t)
					for range 3 {
						expect(t, "addresses", c.get("/"), ln.Addr().Network()+" "+ln.Addr().String())
						_, plain := (<-conns).(interface{ SetNoDelay(bool) error })
						expect(t, "TCP's methods, or unix's", plain, ln.Addr().Network() == "tcp" || tt.onto && st.name != reference.name)
					}
				}
				if s, ok := r.served.(*server.Server); ok {
					expect(t, "onto loops", s.Stats().Accepted == 2, tt.onto)
				}
				r.stop(t)
				if c, err := net.Dial(ln.Addr().Network(), r.addr); err == nil {
					c.Close()
					t.Error("still accepts")
				}
			})
		})
	}
}

// NextProto's handlers get connections that negotiate their protocol, others
// are HTTP/1.1.
func TestKeepNextProto(t *testing.T) {
	certs := keepCerts(t)
	onEach(t, func(t *testing.T, st stack) {
		const proto = "shout"
		fs := &fasthttp.Server{Handler: echoPath, TLSConfig: &tls.Config{Certificates: certs}}
		var mu sync.Mutex
		served := 0
		fs.NextProto(proto, func(c net.Conn) error {
			mu.Lock()
			served++
			mu.Unlock()
			buf := make([]byte, 100)
			for {
				n, err := c.Read(buf)
				if err != nil {
					return nil
				}
				if _, err := c.Write(append([]byte("!"), buf[:n]...)); err != nil {
					return err
				}
			}
		})
		r := st.start(t, fs)
		dial := func(protos ...string) *client {
			c, err := tls.Dial("tcp4", r.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: protos})
			if err != nil {
				t.Fatal(err)
			}
			return rawClient(t, c)
		}
		for range 3 {
			shout := dial(proto)
			expect(t, "protocol", shout.Conn.(*tls.Conn).ConnectionState().NegotiatedProtocol, proto)
			for _, word := range []string{"a", "bc", "def"} {
				shout.send("%s", word)
				got := make([]byte, len(word)+1)
				if _, err := io.ReadFull(shout.br, got); err != nil {
					t.Fatal(err)
				}
				expect(t, "answer", string(got), "!"+word)
			}
			plain := dial()
			for range 3 {
				expect(t, "answer over HTTP/1.1", plain.get("/plain"), "/plain")
			}
			shout.Close()
		}
		mu.Lock()
		defer mu.Unlock()
		expect(t, "connections of the protocol", served, 3)
	})
}

// keepCerts makes a certificate.
func keepCerts(t *testing.T) []tls.Certificate {
	t.Helper()
	cert, key, err := fasthttp.GenerateTestCertificate("localhost")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(errors.Join(errors.New("the certificate that was made"), err))
	}
	return []tls.Certificate{pair}
}
