//go:build linux && (amd64 || arm64) && !race

package apps_test

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// A plain handler allocates nothing per request, burst by burst. (Not under the
// race detector, which has sync.Pool forget.)
func TestNoAllocationPerRequest(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*fasthttp.Server)
	}{
		{"plain", func(*fasthttp.Server) {}},
		{"with timeouts", func(fs *fasthttp.Server) {
			fs.ReadTimeout, fs.WriteTimeout, fs.IdleTimeout = patience, patience, patience
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("hello") }}
			tt.set(fs)
			ln, err := conn.Listen("tcp4", "127.0.0.1:0", conn.WithLoops(1), conn.WithDispatch(conn.DispatchInline))
			if err != nil {
				t.Fatal(err)
			}
			run(t, fs, ln, server.New(fs))
			c, err := net.Dial("tcp4", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			request := []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			answer := make([]byte, 1024)
			c.Write(request)
			size, err := c.Read(answer)
			if err != nil {
				t.Fatal(err)
			}
			turn := func(n int) {
				for range n {
					c.Write(request)
					if _, err := io.ReadFull(c, answer[:size]); err != nil {
						t.Fatal(err)
					}
				}
			}
			turn(1000)
			const n = 20_000
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			turn(n)
			runtime.ReadMemStats(&after)
			// Timers, the watcher and a collection or two allocate now and then.
			if per := float64(after.Mallocs-before.Mallocs) / n; per > 0.05 {
				t.Errorf("%.2f allocations a request", per)
			}
		})
	}
}
