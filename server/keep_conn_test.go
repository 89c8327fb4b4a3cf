//go:build linux && (amd64 || arm64)

package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// Hooks other than the handler see when the connection began, too.
func TestKeepConnTimeInHooks(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		times := make(chan time.Time, 8)
		fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { times <- ctx.ConnTime() }}
		fs.ExpectHandler = func(ctx *fasthttp.RequestCtx) int { times <- ctx.ConnTime(); return 100 }
		fs.ErrorHandler = func(ctx *fasthttp.RequestCtx, err error) { times <- ctx.ConnTime(); ctx.Error("", 400) }
		seen := watchStates(fs)
		r := st.start(t, fs)
		c := r.dial(t)
		c.get("/")
		first := <-times
		seen.until(t, fasthttp.StateIdle)
		c.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
		c.head()
		expect(t, "ExpectHandler's ConnTime", <-times, first)
		c.send("x")
		c.response()
		expect(t, "the handler's", <-times, first)
		seen.until(t, fasthttp.StateIdle)
		c.send("nonsense\r\n\r\n")
		c.rest()
		expect(t, "ErrorHandler's", <-times, first)
	})
}

// Without LogAllErrors what clients cause all the time is not logged.
func TestKeepLogAllErrors(t *testing.T) {
	for _, tt := range []struct {
		name, send string
		common     bool
	}{
		{"body ends", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", true},
		{"header too large", "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 8000) + "\r\n\r\n", true},
		{"timeout", keepGet[:20], true},
		{"nonsense", "nonsense\r\n\r\n", false},
		{"second is nonsense", keepGet + "nonsense\r\n\r\n", false},
	} {
		for _, all := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, %v", tt.name, all), func(t *testing.T) {
				onEach(t, func(t *testing.T, st stack) {
					log := new(lines)
					fs := &fasthttp.Server{Logger: log, LogAllErrors: all, ReadTimeout: short, Handler: echoPath}
					seen := watchStates(fs)
					r := st.start(t, fs)
					c := r.dial(t)
					c.send("%s", tt.send)
					if tt.name != "timeout" {
						c.closeWrite()
					}
					c.rest()
					seen.until(t, fasthttp.StateClosed)
					r.stop(t)
					got := log.snapshot()
					if !all && tt.common {
						expect(t, "lines logged: "+log.String(), len(got), 0)
						return
					}
					expect(t, "lines logged: "+log.String(), len(got), 1)
					prefix := fmt.Sprintf("error when serving connection %q<->%q: ", r.addr, c.LocalAddr())
					for _, line := range got {
						if !strings.HasPrefix(line, prefix) {
							t.Errorf("logged %q, want %q first", line, prefix)
						}
					}
				})
			})
		}
	}
}
