package server_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// shutdowns are the ways to shut a server down.
var shutdowns = []struct {
	name string
	call func(*running) error
}{
	{"fs.Shutdown", func(r *running) error { return r.fs.Shutdown() }},
	{"Shutdown", func(r *running) error { return r.Shutdown(context.Background()) }},
}

// gate is a handler that says it runs, and waits.
type gate struct {
	entered chan *fasthttp.RequestCtx
	leave   chan bool
}

func newGate() *gate { return &gate{make(chan *fasthttp.RequestCtx), make(chan bool)} }

func (g *gate) handle(ctx *fasthttp.RequestCtx) {
	if string(ctx.Path()) == "/block" {
		g.entered <- ctx
		<-g.leave
	}
	echoPath(ctx)
}

func TestShutdown(t *testing.T) {
	for _, how := range shutdowns {
		for _, closeOn := range []bool{false, true} {
			name := how.name
			if closeOn {
				name += ", CloseOnShutdown"
			}
			t.Run(name, func(t *testing.T) {
				onEach(t, func(t *testing.T, st stack) {
					g := newGate()
					r := st.start(t, &fasthttp.Server{Handler: g.handle, CloseOnShutdown: closeOn})
					idle, busy := r.dial(t), r.dial(t)
					idle.get("/")
					busy.send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
					ctx := wait(t, g.entered, "the handler")
					if ctx.Done() == nil || ctx.Err() != nil {
						t.Errorf("before: Done %v, Err %v", ctx.Done(), ctx.Err())
					}
					done := make(chan error, 1)
					go func() { done <- how.call(r) }()
					wait(t, ctx.Done(), "ctx.Done")
					expectErr(t, "ctx.Err", ctx.Err(), context.Canceled)
					expect(t, "rest of the idle connection", idle.rest(), "")
					if err := wait(t, r.done, "Serve"); err != nil { // does not wait for the request
						t.Errorf("Serve: %v", err)
					}
					r.done <- nil
					if c, err := net.Dial("tcp", r.addr); err == nil {
						c.Close()
						t.Error("connected to a server that is shut down")
					}
					select {
					case err := <-done:
						t.Errorf("Shutdown returned %v while a request was being served", err)
					default:
					}
					g.leave <- true
					resp := busy.head()
					expect(t, "status", resp.StatusCode, 200)
					expect(t, "Connection: close", resp.Close, closeOn)
					busy.br.Discard(int(resp.ContentLength))
					expect(t, "rest of the busy connection", busy.rest(), "")
					if err := wait(t, done, "Shutdown"); err != nil {
						t.Errorf("Shutdown: %v", err)
					}
				})
			})
		}
	}
}

// A context that expires ends the waiting, not the requests.
func TestShutdownExpires(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		g := newGate()
		r := st.start(t, &fasthttp.Server{Handler: g.handle})
		c := r.dial(t)
		c.send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
		wait(t, g.entered, "the handler")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		expectErr(t, "Shutdown", r.Shutdown(ctx), context.Canceled)
		if err := wait(t, r.done, "Serve"); err != nil {
			t.Errorf("Serve: %v", err)
		}
		r.done <- nil
		g.leave <- true
		resp := c.head()
		expect(t, "status", resp.StatusCode, 200)
		c.Close()
	})
}

// Pipelined requests behind the one that is served when a shutdown begins are
// not served any more.
func TestShutdownEndsPipeline(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		g := newGate()
		r := st.start(t, &fasthttp.Server{Handler: g.handle})
		c := r.dial(t)
		c.send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n%s", get)
		ctx := wait(t, g.entered, "the handler")
		done := make(chan error, 1)
		go func() { done <- r.fs.Shutdown() }()
		wait(t, ctx.Done(), "ctx.Done")
		g.leave <- true
		got := c.rest()
		// What of the first answer was not flushed, because there is a second
		// request, is lost: fasthttp's loop breaks before it looks.
		if strings.Count(got, "HTTP/1.1 ") > 1 {
			t.Errorf("answered more than one request: %q", got)
		}
		if err := wait(t, done, "Shutdown"); err != nil {
			t.Error(err)
		}
	})
}

// Closing the listener ends Serve, with nil, but not its connections.
func TestListenerClosed(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		ln, err := st.listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		r := st.serve(t, &fasthttp.Server{Handler: echoPath, Logger: new(lines)}, ln)
		c := r.dial(t)
		c.get("/before")
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
		if err := wait(t, r.done, "Serve"); err != nil {
			t.Errorf("Serve: %v", err)
		}
		r.done <- nil
		expect(t, "answer", c.get("/after"), "/after")
		c.closeWrite()
		c.rest()
	})
}

// A server that was shut down can be served again, and on two listeners.
func TestServeAgain(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		fs := &fasthttp.Server{Handler: echoPath, Logger: new(lines)}
		srv := st.server(fs)
		for range 2 {
			done := make(chan error, 2)
			for range 2 {
				ln, err := st.listen("tcp4", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				go func() { done <- srv.Serve(ln) }()
				c := (&running{addr: ln.Addr().String()}).dial(t)
				c.get("/")
			}
			if err := srv.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			for range 2 {
				if err := wait(t, done, "Serve"); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
