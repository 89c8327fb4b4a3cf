//go:build linux && (amd64 || arm64)

package server_test

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/panjf2000/gnet/v2"
	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
)

// What a client has done before it asks happens before the handler, and what the
// handler does before it answers happens before the client has the answer, as with
// package net: the race detector has nothing to report. (Without it this cannot fail.)
func TestHappensBefore(t *testing.T) {
	for _, backend := range []string{"direct", "uring"} {
		for _, d := range []conn.Dispatch{conn.DispatchAdaptive, conn.DispatchGoroutine} {
			opts := []conn.Option{conn.WithLoops(2), conn.WithBackend(backend), conn.WithDispatch(d)}
			st := esca("", opts...)
			t.Run("fasthttp, "+backend, func(t *testing.T) {
				asked, answered := 0, 0
				r := st.start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
					answered = asked
					echoPath(ctx)
				}})
				for i := range 20 {
					c := r.dial(t)
					asked = 2 * i
					c.get("/a")
					asked = answered + 1
					c.get("/b")
					expect(t, "what the handler has seen", answered, 2*i+1)
				}
			})
			t.Run("net/http, "+backend, func(t *testing.T) {
				asked, answered := 0, 0
				ln, err := st.listen("tcp4", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				srv := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { answered = asked })}
				go srv.Serve(ln)
				defer srv.Close()
				for i := range 20 {
					asked = i
					resp, err := http.Get("http://" + ln.Addr().String())
					if err != nil {
						t.Fatal(err)
					}
					resp.Body.Close()
					expect(t, "what the handler has seen", answered, i)
				}
			})
			t.Run("gnet, "+backend, func(t *testing.T) {
				asked, answered := 0, 0
				a := &app{traffic: func(c gnet.Conn) gnet.Action {
					answered = asked
					return echo(c)
				}}
				on := start(t, onEsca("", opts...), a, []string{"tcp"})
				c := on.dial(0)
				for i := range 20 {
					asked = i
					mustWrite(t, c, "x")
					mustRead(t, c, "x")
					expect(t, "what the callback has seen", answered, i)
				}
			})
		}
	}
}

// The same where no handler is: a goroutine writes to a Conn, and reads from it.
func TestHappensBeforeOfAConn(t *testing.T) {
	for _, n := range []int{1, 64 << 10} { // queued, and sent from where it is
		ln, err := conn.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		peer, err := net.Dial("tcp4", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		said := 0
		go func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			said++
			c.Write(make([]byte, n))
			io.ReadFull(c, make([]byte, 1))
			said++
		}()
		if _, err := io.ReadFull(peer, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		said++
		mustWrite(t, peer, "x")
		if _, err := io.ReadAll(peer); err != nil {
			t.Fatal(err)
		}
		expect(t, "how often it was said", said, 3)
	}
}
