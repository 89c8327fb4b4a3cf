//go:build linux && amd64

package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// serveHello answers everything with a line, and /stats with the server's own
// counters.
func serveHello() error {
	// Emulated, a handler looks as if it blocked now and then, and a tick lasts
	// longer than writes are to be kept.
	ln, err := conn.Listen("tcp4", "127.0.0.1:8001", conn.WithDispatch(conn.DispatchInline), conn.WithWriteDelay(time.Second))
	if err != nil {
		return err
	}
	var s *server.Server
	s = server.New(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) != "/stats" {
			ctx.WriteString("hello, world\n")
			return
		}
		if err := json.NewEncoder(ctx).Encode(s.Stats()); err != nil {
			ctx.Error(err.Error(), fasthttp.StatusInternalServerError)
		}
	}})
	fmt.Println("listening on", ln.Addr())
	return s.Serve(ln)
}
