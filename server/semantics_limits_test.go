package server_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
)

// echoPath answers with the path.
func echoPath(ctx *fasthttp.RequestCtx) { ctx.Write(ctx.Path()) }

// rejection is what a connection over a limit is told.
func rejection(status int, msg string) string {
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nConnection: close\r\nServer: fasthttp\r\nDate: now\r\n"+
		"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", status, fasthttp.StatusMessage(status), len(msg), msg)
}

func TestMaxConnsPerIP(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		log := new(lines)
		fs := &fasthttp.Server{Handler: echoPath, MaxConnsPerIP: 2, Logger: log}
		seen := watchStates(fs)
		r := st.start(t, fs)
		a, b := r.dial(t), r.dial(t)
		a.get("/a")
		b.get("/b")
		want := rejection(429, "The number of connections from your ip exceeds MaxConnsPerIP")
		for range 2 {
			if got := maskDate(r.dial(t).rest()); got != want {
				t.Errorf("over the limit: got %q, want %q", got, want)
			}
		}
		if got := log.String(); got != "The number of connections from 127.0.0.1 exceeds MaxConnsPerIP=2" {
			t.Errorf("logged %q", got)
		}
		expect(t, "answer of one within the limit", a.get("/again"), "/again")
		a.Close()
		seen.until(t, fasthttp.StateClosed)
		expect(t, "answer once one is gone", r.dial(t).get("/c"), "/c")
		expect(t, "connections the hook was told of, so none of those refused", len(seen.all()), 3)
	})
}

func TestConcurrency(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		log := new(lines)
		entered, leave := make(chan bool), make(chan bool)
		fs := &fasthttp.Server{Concurrency: 2, Logger: log, Handler: func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) == "/block" {
				entered <- true
				<-leave
			}
			echoPath(ctx)
		}}
		seen := watchStates(fs)
		r := st.start(t, fs)
		a, b := r.dial(t), r.dial(t)
		for _, c := range []*client{a, b} {
			c.send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
			wait(t, entered, "the handler")
		}
		want := rejection(503, "The connection cannot be served because Server.Concurrency limit exceeded")
		for range 2 {
			if got := maskDate(r.dial(t).rest()); got != want {
				t.Errorf("over the limit: got %q, want %q", got, want)
			}
			refused := seen.until(t, fasthttp.StateClosed)
			expect(t, "states of a refused connection", seen.all()[refused], "new closed ")
		}
		if got := log.String(); got != "The incoming connection cannot be served, because 2 concurrent connections are served. "+
			"Try increasing Server.Concurrency" {
			t.Errorf("logged %q", got)
		}
		close(leave)
		a.response()
		b.response()
		a.Close()
		seen.until(t, fasthttp.StateClosed)
		// fasthttp tells of the closing right before it lets go of the worker.
		for end := time.Now().Add(generous); ; {
			c := r.dial(t)
			c.send("GET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if got := c.rest(); strings.HasPrefix(got, "HTTP/1.1 200") {
				break
			} else if time.Now().After(end) {
				t.Fatalf("refused for ever: %q", got)
			}
		}
	})
}

// Who was refused takes nobody's place, however long the connection lingers because of
// what he has sent.
func TestRefusedTakeNobodysPlace(t *testing.T) {
	st := esca("-1-lingers", conn.WithLoops(1), conn.WithLinger(time.Hour))
	entered, leave, sent := make(chan bool), make(chan bool), make(chan bool, 1)
	fs := &fasthttp.Server{
		Concurrency: 1,
		Handler: func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) == "/block" {
				entered <- true
				<-leave
			}
			echoPath(ctx)
		},
		ConnState: func(_ net.Conn, s fasthttp.ConnState) {
			if s == fasthttp.StateNew {
				<-sent // it is refused with its request unread
			}
		},
	}
	r := st.start(t, fs)
	ask := func(path string) *client {
		c := r.dial(t)
		c.send("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path)
		sent <- true
		return c
	}
	a := ask("/block")
	wait(t, entered, "the handler")
	for range 3 {
		if status, _ := ask("/refused").response(); status != 503 {
			t.Errorf("over the limit: %d", status)
		}
	}
	close(leave)
	a.rest()
	for end := time.Now().Add(generous); ; { // fasthttp tells of the closing before it lets go as well
		got := ask("/c").rest()
		if strings.HasPrefix(got, "HTTP/1.1 200") {
			break
		} else if time.Now().After(end) {
			t.Fatalf("refused for ever: %q", got)
		}
	}
}

func TestMaxRequestsPerConn(t *testing.T) {
	for _, how := range []string{"pipelined", "one by one"} {
		t.Run(how, func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				fs := &fasthttp.Server{Handler: echoPath, MaxRequestsPerConn: 3}
				seen := watchStates(fs)
				c := st.start(t, fs).dial(t)
				if how == "pipelined" {
					c.send("%s", strings.Repeat("GET /p HTTP/1.1\r\nHost: x\r\n\r\n", 5))
				}
				for i := range 3 {
					if how != "pipelined" {
						c.send("GET /p HTTP/1.1\r\nHost: x\r\n\r\n")
					}
					if resp := c.head(); resp.Close != (i == 2) || resp.ContentLength != 2 {
						t.Errorf("response %d: %v", i, resp)
					}
					c.br.Discard(2)
				}
				expect(t, "what follows the last", c.rest(), "")
				seen.until(t, fasthttp.StateClosed)
				expect(t, "states", seen.only(t), "new active idle active idle active closed")
			})
		})
	}
}
