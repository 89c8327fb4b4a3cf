package server_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

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
	failed  <-chan struct{}
}

func newGate(t *testing.T) *gate {
	return &gate{make(chan *fasthttp.RequestCtx), make(chan bool), t.Context().Done()}
}

func (g *gate) handle(ctx *fasthttp.RequestCtx) {
	if string(ctx.Path()) == "/block" {
		g.entered <- ctx
		select {
		case <-g.leave:
		case <-g.failed:
		}
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
					g := newGate(t)
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
					refused(t, r.addr)
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
		g := newGate(t)
		r := st.start(t, &fasthttp.Server{Handler: g.handle})
		c := r.dial(t)
		c.send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
		wait(t, g.entered, "the handler")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		expectErr(t, "Shutdown", r.Shutdown(ctx), context.Canceled)
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
		g := newGate(t)
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

// refused waits until nobody listens on addr: a loop may be a moment late.
func refused(t *testing.T, addr string) {
	t.Helper()
	for end := time.Now().Add(generous); ; {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		c.Close()
		if time.Now().After(end) {
			t.Fatal("a server that is shut down still listens")
		}
	}
}
