//go:build linux && (amd64 || arm64)

package server_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
)

// A connection that is served again in vain, as a report of bytes that have been read
// meanwhile can cause, is still one that waits for its next request: when the time for
// that is up it ends without a word.
func TestServedInVain(t *testing.T) {
	for _, tls := range []bool{false, true} {
		for _, st := range escas() {
			t.Run(fmt.Sprintf("%s TLS %v", st.name, tls), func(t *testing.T) {
				t.Parallel()
				conns := make(chan net.Conn, 1)
				// The request may take its time on a busy machine, and what is idle may not.
				fs := &fasthttp.Server{ReadTimeout: generous, IdleTimeout: short, Handler: func(ctx *fasthttp.RequestCtx) { conns <- ctx.Conn() }}
				var c *client
				seen := watchStates(fs)
				if tls {
					srv, cfg := serverTLS(t)
					fs.TLSConfig = srv
					c = st.start(t, fs).dialTLS(t, cfg, 1<<14)
				} else {
					c = st.start(t, fs).dial(t)
				}
				c.get("/")
				nc := <-conns
				if over, ok := nc.(interface{ NetConn() net.Conn }); ok {
					nc = over.NetConn()
				}
				seen.until(t, fasthttp.StateIdle)
				conn.BurstOf(nc.(*conn.Conn)).Poke()
				if got := c.rest(); got != "" {
					t.Errorf("it ends with %q", got)
				}
			})
		}
	}
}
