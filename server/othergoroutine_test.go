package server_test

import (
	"net"
	"testing"

	"github.com/valyala/fasthttp"
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
