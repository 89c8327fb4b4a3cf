package server_test

import (
	"net"
	"net/http"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// A connection that somebody else closes while it is idle ends for the hook too.
func TestIdleConnClosedFromAnotherGoroutine(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		conns := make(chan net.Conn, 1)
		fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			conns <- ctx.Conn()
			echoPath(ctx)
		}}
		seen := watchStates(fs)
		c := st.start(t, fs).dial(t)
		c.get("/")
		seen.until(t, fasthttp.StateIdle)
		wait(t, conns, "the connection").Close()
		seen.until(t, fasthttp.StateClosed)
		expect(t, "rest", c.rest(), "")
		expect(t, "states", seen.only(t), "new active idle closed")
	})
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
