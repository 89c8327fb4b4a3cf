package server_test

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

func TestConnStateOrder(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, tt := range []struct{ name, send, want string }{
		{"nothing sent", "", "new closed"},
		{"one", get, "new active idle closed"},
		{"two pipelined", get + get, "new active idle active idle closed"},
		{"close", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "new active closed"},
		{"malformed", "nonsense\r\n\r\n", "new active closed"},
		{"half a header", "GET / HT", "new active closed"},
		{"half a body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", "new active closed"},
		{"second malformed", get + "nonsense\r\n\r\n", "new active idle active closed"},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "new active closed"},
		{"hijack", "GET /hijack HTTP/1.1\r\nHost: x\r\n\r\n", "new active hijacked"},
		{"hijack, second", get + "GET /hijack HTTP/1.1\r\nHost: x\r\n\r\n", "new active idle active hijacked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				var conns sync.Map // as handlers see them
				fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
					conns.Store(ctx.Conn(), true)
					if string(ctx.Path()) == "/hijack" {
						ctx.Hijack(func(net.Conn) {})
					}
				}}
				seen := watchStates(fs)
				r := st.start(t, fs)
				c := r.dial(t)
				c.send("%s", tt.send)
				c.closeWrite()
				c.rest()
				last := fasthttp.StateClosed
				if strings.HasPrefix(tt.name, "hijack") {
					last = fasthttp.StateHijacked
				}
				seen.until(t, last)
				r.stop(t)
				expect(t, "states", seen.only(t), tt.want)
				conns.Range(func(k, _ any) bool {
					if _, same := seen.all()[k.(net.Conn)]; !same {
						t.Errorf("the handler's Conn is not the hook's")
					}
					return true
				})
			})
		})
	}
}

// A connection keeps its identity and counts its requests, however long the
// gaps between them.
func TestConnectionIdentity(t *testing.T) {
	type request struct {
		id, num       uint64
		since         time.Time
		local, remote string
		conn          net.Conn
	}
	onEach(t, func(t *testing.T, st stack) {
		got := make(chan request, 1)
		fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			if ctx.Time().Before(ctx.ConnTime()) {
				t.Errorf("request of %v on a connection of %v", ctx.Time(), ctx.ConnTime())
			}
			got <- request{ctx.ConnID(), ctx.ConnRequestNum(), ctx.ConnTime(), ctx.LocalAddr().String(), ctx.RemoteAddr().String(), ctx.Conn()}
		}}
		seen := watchStates(fs)
		r := st.start(t, fs)
		ids := make(map[uint64]bool)
		for range 3 {
			c := r.dial(t)
			var first request
			for n := range uint64(5) {
				c.get("/")
				g := <-got
				if n == 0 {
					first = g
					if ids[g.id] {
						t.Errorf("two connections with ID %d", g.id)
					}
					ids[g.id] = true
				}
				want := request{first.id, n + 1, first.since, r.addr, c.LocalAddr().String(), first.conn}
				expect(t, "request", g, want)
				seen.until(t, fasthttp.StateIdle)
			}
		}
	})
}

// ctx.Logger tells of the request and its connection.
func TestRequestLogger(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		log := new(lines)
		c := st.start(t, &fasthttp.Server{Logger: log, Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.Logger().Printf("hello %d", ctx.ConnRequestNum())
		}}).dial(t)
		c.get("/x")
		c.get("/x")
		if got := log.String(); !strings.HasSuffix(got, "GET http://x/x - hello 2") || strings.Count(got, c.LocalAddr().String()) != 2 {
			t.Errorf("logged %q", got)
		}
	})
}
