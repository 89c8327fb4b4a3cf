package server_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// What comes before the handler knows of its own connection and of no other: at its
// first request nothing, also where another connection was served just before.
func TestEarlyHooksKnowNoOtherConnection(t *testing.T) {
	for name, bad := range map[string]string{
		"ErrorHandler":  "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
		"ExpectHandler": "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				seen := make(chan string, 1)
				tell := func(ctx *fasthttp.RequestCtx) {
					seen <- fmt.Sprint(ctx.ConnID(), ctx.ConnRequestNum(), ctx.Time().IsZero(), ctx.RemoteAddr())
				}
				r := st.start(t, &fasthttp.Server{
					Handler:       func(*fasthttp.RequestCtx) {},
					ErrorHandler:  func(ctx *fasthttp.RequestCtx, err error) { tell(ctx); ctx.Error("no", 400) },
					ExpectHandler: func(ctx *fasthttp.RequestCtx) int { tell(ctx); return 417 },
				})
				for range 3 {
					other := r.dial(t)
					other.get("/")
					other.get("/")
					c, err := net.Dial("tcp4", r.addr)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					c.Write([]byte(bad))
					select {
					case got := <-seen:
						if want := fmt.Sprint(0, 0, true, c.LocalAddr()); got != want {
							t.Errorf("it sees %s, want %s", got, want)
						}
					case <-time.After(generous):
						t.Fatal("it was not called")
					}
				}
			})
		})
	}
}

// A hijacker gets the connection that ctx and ConnState have shown, and nothing around
// it.
func TestHijackersConnection(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		began := make(chan net.Conn, 1)
		same := make(chan string, 1)
		r := st.start(t, &fasthttp.Server{
			ConnState: func(c net.Conn, s fasthttp.ConnState) {
				if s == fasthttp.StateNew {
					began <- c
				}
			},
			Handler: func(ctx *fasthttp.RequestCtx) {
				shown := ctx.Conn()
				ctx.Hijack(func(c net.Conn) {
					unsafe := c.(interface{ UnsafeConn() net.Conn }).UnsafeConn()
					same <- fmt.Sprint(unsafe == shown, unsafe == <-began)
				})
			},
		})
		r.dial(t).get("/")
		select {
		case got := <-same:
			if got != "true true" {
				t.Errorf("it is ctx's, and ConnState's: %s", got)
			}
		case <-time.After(generous):
			t.Error("nobody hijacks")
		}
	})
}
