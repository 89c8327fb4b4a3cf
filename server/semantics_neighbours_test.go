package server_test

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// Nothing of one connection is seen by the next that the same worker serves, whatever
// the requests before it have done.
func TestConnectionsAreApart(t *testing.T) {
	const expecting = "POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
	for _, tt := range []struct {
		name string
		act  func(t *testing.T, c *client) // on a connection
		ends bool                          // it, by that
	}{
		{"values and address", func(t *testing.T, c *client) { c.get("/set") }, false},
		{"hijack", func(t *testing.T, c *client) {
			c.send(upgrade)
			expect(t, "status", c.head().StatusCode, fasthttp.StatusSwitchingProtocols)
			c.send("hello\n")
			expectLine(t, c.br, "> hello\n")
		}, true},
		{"TimeoutError", func(t *testing.T, c *client) {
			// In one burst: the late handler gets the RequestCtx of the first.
			c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /late HTTP/1.1\r\nHost: x\r\n\r\n")
			c.response()
			status, _ := c.response()
			expect(t, "status", status, fasthttp.StatusRequestTimeout)
		}, false},
		{"refused by ExpectHandler", func(t *testing.T, c *client) {
			c.send(expecting, "no")
			status, _ := c.response()
			expect(t, "status", status, fasthttp.StatusForbidden)
		}, true},
		{"admitted by ExpectHandler", func(t *testing.T, c *client) {
			c.send(expecting, "yes")
			expect(t, "status", c.head().StatusCode, fasthttp.StatusContinue)
			c.send("x")
			status, body := c.response()
			expect(t, "status", status, fasthttp.StatusOK)
			expect(t, "client", body, c.LocalAddr().String())
		}, false},
		{"a request that is none", func(t *testing.T, c *client) {
			c.send("nonsense\r\n\r\n")
			status, body := c.response()
			expect(t, "status", status, fasthttp.StatusBadRequest)
			expect(t, "client", body, c.LocalAddr().String())
		}, true},
		{"Connection: close", func(t *testing.T, c *client) {
			c.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			_, body := c.response()
			expect(t, "client", body, c.LocalAddr().String())
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				late := make(chan string)
				r := st.start(t, apart(t, late))
				quiet, acts := r.dial(t), r.dial(t)
				for range 3 {
					expect(t, "client", quiet.get("/"), quiet.LocalAddr().String())
					tt.act(t, acts)
					expect(t, "client", quiet.get("/"), quiet.LocalAddr().String())
					if tt.name == "TimeoutError" {
						late <- ""
						expect(t, "client of the late handler", <-late, acts.LocalAddr().String()+" 192.0.2.2:2")
					}
					if tt.ends {
						acts.Close()
						acts = r.dial(t)
					}
				}
			})
		})
	}
}

// apart is a server that answers with the client's address and finds out what its
// RequestCtx has of others.
func apart(t *testing.T, late chan string) *fasthttp.Server {
	fs := &fasthttp.Server{Logger: new(lines)}
	clientOf := func(ctx *fasthttp.RequestCtx) string {
		if got, want := ctx.Conn().RemoteAddr().String(), ctx.RemoteAddr().String(); got != want {
			t.Errorf("%s: a connection of %s, an address of %s", ctx.Path(), got, want)
		}
		return ctx.RemoteAddr().String()
	}
	fs.ExpectHandler = func(ctx *fasthttp.RequestCtx) int {
		clientOf(ctx)
		if string(ctx.Path()) == "/no" {
			return fasthttp.StatusForbidden
		}
		return fasthttp.StatusContinue
	}
	fs.ErrorHandler = func(ctx *fasthttp.RequestCtx, err error) {
		ctx.Error(clientOf(ctx), fasthttp.StatusBadRequest)
	}
	hijacking(fs, func(c net.Conn) {
		for s := bufio.NewScanner(c); s.Scan(); {
			fmt.Fprintf(c, "> %s\n", s.Text())
		}
	})
	hijack := fs.Handler
	fs.Handler = func(ctx *fasthttp.RequestCtx) {
		if v := ctx.UserValue("left"); v != nil {
			t.Errorf("%s of %v finds the value %v", ctx.Path(), ctx.Conn().RemoteAddr(), v)
		}
		switch string(ctx.Path()) {
		case "/upgrade":
			hijack(ctx)
		case "/set":
			ctx.SetUserValue("left", "behind")
			ctx.SetRemoteAddr(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1})
		case "/late":
			ctx.SetRemoteAddr(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 2}) // ctx stays the handler's
			ctx.TimeoutErrorWithCode("late", fasthttp.StatusRequestTimeout)
			go func() {
				<-late
				late <- ctx.Conn().RemoteAddr().String() + " " + ctx.RemoteAddr().String()
			}()
		default:
			ctx.WriteString(clientOf(ctx))
		}
	}
	return fs
}

// A shutdown ends what waits between two bursts too.
func TestShutdownLeavesNothing(t *testing.T) {
	others := connectionsServed() // what another test left is not this one's to find
	onEach(t, func(t *testing.T, st stack) {
		r := st.start(t, &fasthttp.Server{Handler: echoPath})
		for range 3 {
			r.dial(t).get("/")
		}
		r.stop(t)
		ctx, cancel := context.WithTimeout(t.Context(), generous)
		defer cancel()
		for {
			left := connectionsServed()
			maps.DeleteFunc(left, func(id, _ string) bool { return others[id] != "" })
			if len(left) == 0 {
				break
			}
			select {
			case <-ctx.Done():
				t.Fatalf("still there:\n%s", slices.Collect(maps.Values(left)))
			case <-time.After(time.Millisecond):
			}
		}
	})
}

// connectionsServed is the stack of each goroutine that is in fasthttp's ServeConn, by its first words ("goroutine 7").
func connectionsServed() map[string]string {
	buf := make([]byte, 1<<20)
	served := make(map[string]string)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if id, _, _ := strings.Cut(stack, " ["); strings.Contains(stack, "ServeConn(") {
			served[id] = stack
		}
	}
	return served
}
