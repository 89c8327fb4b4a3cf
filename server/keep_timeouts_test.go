//go:build linux && (amd64 || arm64)

package server_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

const keepGet = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// keepStatuses reads responses until the server closes.
func keepStatuses(c *client) string {
	c.t.Helper()
	var got []string
	for {
		if _, err := c.br.Peek(1); err != nil {
			if rest := c.rest(); rest != "" {
				c.t.Errorf("behind the responses: %q", rest)
			}
			return strings.Join(got, " ")
		}
		resp := c.head()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			c.t.Fatal(err)
		}
		got = append(got, fmt.Sprint(resp.StatusCode))
		if resp.Close {
			got = append(got, "close")
		}
	}
}

func TestKeepTimeouts(t *testing.T) {
	read := func(fs *fasthttp.Server) { fs.ReadTimeout = short }
	idle := func(fs *fasthttp.Server) { fs.IdleTimeout = short }
	both := func(fs *fasthttp.Server) { fs.ReadTimeout, fs.IdleTimeout = generous, short }
	long := func(fs *fasthttp.Server) { fs.ReadTimeout, fs.IdleTimeout = short, generous }
	reduced := func(fs *fasthttp.Server) { fs.ReadTimeout, fs.ReduceMemoryUsage = short, true }
	streamed := func(fs *fasthttp.Server) { fs.ReadTimeout, fs.StreamRequestBody = short, true }
	for _, tt := range []struct {
		name string
		set  func(*fasthttp.Server)
		send string
		want string
	}{
		{"first byte", read, "", "408 close"},
		{"first byte, ReduceMemoryUsage", reduced, "", ""},
		{"part of a header", read, keepGet[:20], "400 close"},
		{"part of a header, ReduceMemoryUsage", reduced, keepGet[:20], "400 close"},
		{"part of a body", read, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", "408 close"},
		{"part of a body, streamed", streamed, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", "408 close"},
		{"part of a chunk", read, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", "408 close"},
		{"part of the second header", read, keepGet + keepGet[:20], "200 400 close"},
		{"part of the second header, idle for longer", long, keepGet + keepGet[:20], "200 400 close"},
		{"idle, ReadTimeout", read, keepGet, "200"},
		{"idle, IdleTimeout", idle, keepGet + keepGet, "200 200"},
		{"idle, both", both, keepGet, "200"},
		{"idle, ReduceMemoryUsage", reduced, keepGet + keepGet, "200 200"},
		{"behind a continue", read, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", "100 408 close"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				fs := &fasthttp.Server{Handler: echoPath}
				tt.set(fs)
				seen := watchStates(fs)
				c := st.start(t, fs).dial(t)
				c.send("%s", tt.send)
				expect(t, "answers", keepStatuses(c), tt.want)
				seen.until(t, fasthttp.StateClosed)
			})
		})
	}
}

// The second part of a request sent in time is answered, however long the idle
// timeout before it; and the idle timeout ends when a request begins.
func TestKeepTimeoutsRestart(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		fs := &fasthttp.Server{Handler: echoPath, IdleTimeout: short}
		seen := watchStates(fs)
		c := st.start(t, fs).dial(t)
		c.send("%s", keepGet)
		c.response()
		c.send("%s", keepGet[:5])
		seen.until(t, fasthttp.StateActive)
		seen.until(t, fasthttp.StateActive)
		<-time.After(2 * short) // what must not happen has no event
		c.send("%s", keepGet[5:])
		status, _ := c.response()
		expect(t, "status", status, 200)
		expect(t, "what follows", c.rest(), "")
	})
}

// A client that does not read is given up after WriteTimeout, from wherever it
// comes.
func TestKeepWriteTimeout(t *testing.T) {
	const size = 64 << 20 // more than any socket holds
	big := make([]byte, size)
	stream := func(ctx *fasthttp.RequestCtx) {
		ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
			for range size / 4096 {
				if _, err := w.Write(big[:4096]); err != nil {
					return
				}
			}
		})
	}
	for _, tt := range []struct {
		name    string
		handler fasthttp.RequestHandler
		set     func(*fasthttp.Server)
	}{
		{"WriteTimeout", func(ctx *fasthttp.RequestCtx) { ctx.Response.SetBodyRaw(big) }, func(fs *fasthttp.Server) { fs.WriteTimeout = short }},
		{"WriteTimeout, stream writer", stream, func(fs *fasthttp.Server) { fs.WriteTimeout = short }},
		{"WriteTimeout, reader", func(ctx *fasthttp.RequestCtx) { ctx.SetBodyStream(bytes.NewReader(big), size) }, func(fs *fasthttp.Server) { fs.WriteTimeout = short }},
		{"HeaderReceived", func(ctx *fasthttp.RequestCtx) { ctx.Response.SetBodyRaw(big) }, func(fs *fasthttp.Server) {
			fs.HeaderReceived = func(*fasthttp.RequestHeader) fasthttp.RequestConfig {
				return fasthttp.RequestConfig{WriteTimeout: short}
			}
		}},
		{"SetWriteDeadline", func(ctx *fasthttp.RequestCtx) {
			ctx.SetWriteDeadline(time.Now().Add(short))
			ctx.Response.SetBodyRaw(big)
		}, func(*fasthttp.Server) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				log := new(lines)
				fs := &fasthttp.Server{Logger: log, LogAllErrors: true, Handler: func(ctx *fasthttp.RequestCtx) {
					if string(ctx.Path()) == "/big" {
						tt.handler(ctx)
					}
				}}
				tt.set(fs)
				seen := watchStates(fs)
				r := st.start(t, fs)
				c, other := r.dial(t), r.dial(t)
				c.get("/small")
				c.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
				if closed := seen.until(t, fasthttp.StateClosed); closed.RemoteAddr().String() != c.LocalAddr().String() {
					t.Error("another connection was closed")
				}
				if n, err := io.Copy(io.Discard, c.br); n >= size || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%d bytes came, %v", n, err)
				}
				other.get("/small")
				r.stop(t)
				if got := log.String(); !strings.Contains(got, "i/o timeout") {
					t.Errorf("logged %q", got)
				}
			})
		})
	}
}

// HeaderReceived sets the timeouts and the limit of one request only.
func TestKeepHeaderReceived(t *testing.T) {
	for _, streamed := range []bool{false, true} {
		t.Run(fmt.Sprintf("streamed %v", streamed), func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				fs := &fasthttp.Server{StreamRequestBody: streamed, ReadTimeout: generous, MaxRequestBodySize: 100, Handler: echoPath}
				fs.HeaderReceived = func(h *fasthttp.RequestHeader) (c fasthttp.RequestConfig) {
					switch string(h.RequestURI()) {
					case "/quick":
						c.ReadTimeout = short
					case "/small":
						c.MaxRequestBodySize = 4
					case "/large":
						c.MaxRequestBodySize = 1000
					}
					return c
				}
				r := st.start(t, fs)
				post := func(c *client, path string, length, sent int) {
					c.send("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, length, strings.Repeat("b", sent))
				}
				c := r.dial(t)
				for _, p := range []struct {
					path string
					n    int
				}{{"/small", 4}, {"/normal", 100}, {"/large", 1000}, {"/quick", 10}, {"/normal", 50}} {
					post(c, p.path, p.n, p.n)
					status, body := c.response()
					expect(t, "status", status, 200)
					expect(t, "answer", body, p.path)
				}
				post(c, "/quick", 10, 3)
				expect(t, "a body that comes too late", keepStatuses(c), "408 close")
				for path, n := range map[string]int{"/small": 5, "/normal": 101, "/large": 1001} {
					c := r.dial(t)
					post(c, path, n, n)
					if !streamed {
						expect(t, path+" over the limit", keepStatuses(c), "400 close")
					} else {
						expect(t, path+" over the limit", c.get("/next"), path)
					}
				}
			})
		})
	}
}

// ErrorHandler sees the kinds of error that fasthttp makes.
func TestKeepErrorHandler(t *testing.T) {
	for _, tt := range []struct {
		name, send string
		end        bool // of the client's side
		want       string
	}{
		{"nothing in time", "", false, "*net.OpError timeout"},
		{"part of a header", keepGet[:20], false, "*fmt.wrapError timeout"},
		{"part of the second header", keepGet + keepGet[:20], false, "*fmt.wrapError timeout"},
		{"header ends", keepGet[:20], true, ""},
		{"body ends", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", true, ""},
		{"nonsense", "nonsense\r\n\r\n", false, ""},
		{"header too large", "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 8000) + "\r\n\r\n", false, "*fasthttp.ErrSmallBuffer"},
		{"second too large", keepGet + "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 8000) + "\r\n\r\n", false, "*fasthttp.ErrSmallBuffer"},
		{"body too large", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n" + strings.Repeat("b", 999), false, "body size exceeds"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := ""
			test := func(t *testing.T, st stack) string {
				errs := make(chan string, 1)
				fs := &fasthttp.Server{ReadTimeout: short, MaxRequestBodySize: 100, Handler: echoPath}
				fs.ErrorHandler = func(ctx *fasthttp.RequestCtx, err error) {
					kind := fmt.Sprintf("%T", err)
					var ne net.Error
					if errors.As(err, &ne) && ne.Timeout() && errors.Is(err, os.ErrDeadlineExceeded) {
						kind += " timeout"
					}
					errs <- kind + " " + strings.ReplaceAll(maskAddrs(err.Error()), "tcp4", "tcp")
					ctx.Error("so it is", 418)
				}
				c := st.start(t, fs).dial(t)
				c.send("%s", tt.send)
				if tt.end {
					c.closeWrite()
				}
				if got := keepStatuses(c); !strings.HasSuffix(got, "418 close") {
					t.Errorf("answers: %q", got)
				}
				return wait(t, errs, "the error")
			}
			t.Run(reference.name, func(t *testing.T) { want = test(t, reference) })
			if !strings.Contains(want, tt.want) {
				t.Errorf("fasthttp: %q, want %q", want, tt.want)
			}
			for _, st := range escas() {
				t.Run(st.name, func(t *testing.T) {
					t.Parallel()
					expect(t, "error", test(t, st), want)
				})
			}
		})
	}
}

// A handler's own deadlines hold for its request only.
func TestKeepOwnReadDeadline(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		errs := make(chan error, 1)
		r := st.start(t, &fasthttp.Server{StreamRequestBody: true, Handler: func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) == "/late" {
				if err := ctx.SetReadDeadline(time.Now().Add(short)); err != nil {
					t.Error(err)
				}
				_, err := io.ReadAll(ctx.RequestBodyStream())
				errs <- err
			} else if string(ctx.Path()) == "/set" {
				ctx.SetReadDeadline(time.Now().Add(short))
				ctx.SetWriteDeadline(time.Now().Add(short))
			}
			ctx.Write(ctx.Path())
		}})
		c := r.dial(t)
		c.get("/set")
		<-time.After(2 * short) // what must not happen has no event
		expect(t, "answer long after a deadline", c.get("/next"), "/next")
		c.get("/set")
		c.send("POST /late HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n")
		expectErr(t, "late body", wait(t, errs, "the handler"), os.ErrDeadlineExceeded)
		_, body := c.response()
		expect(t, "answer", body, "/late")
		expect(t, "what follows", c.rest(), "")
	})
}

// A handler that TimeoutHandler has given up goes on with a context of its own.
func TestKeepTimeoutHandler(t *testing.T) {
	for _, limit := range []int{0, 3} {
		t.Run(fmt.Sprintf("MaxRequestsPerConn %d", limit), func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				b := newKeepBlocker()
				late := make(chan string, 8)
				r := st.start(t, &fasthttp.Server{MaxRequestsPerConn: limit, Handler: fasthttp.TimeoutWithCodeHandler(func(ctx *fasthttp.RequestCtx) {
					if string(ctx.Path()) != "/block" {
						b.handle(ctx)
						return
					}
					b.entered <- true
					for done := false; !done; {
						select {
						case <-b.leave:
							done = true
						case <-time.After(time.Millisecond): // the others need the processors
							ctx.Response.Header.Set("A", "too late")
							ctx.SetBodyString("too late")
						}
					}
					late <- fmt.Sprintf("%s %s %d", ctx.Path(), ctx.RemoteAddr(), ctx.ConnRequestNum())
				}, short, "given up", 418)})
				c := r.dial(t)
				for i := range 3 {
					c.send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
					wait(t, b.entered, "the handler")
					resp := c.head()
					body, _ := io.ReadAll(resp.Body)
					expect(t, "status", resp.StatusCode, 418)
					expect(t, "answer", string(body), "given up")
					expect(t, "Connection: close", resp.Close, i+1 == limit)
				}
				if limit == 0 {
					expect(t, "answer while three go on", c.get("/next"), "/next ")
				}
				got := make(map[string]bool)
				for range 3 {
					b.leave <- true
					got[wait(t, late, "a handler to end")] = true
				}
				for i := range 3 {
					if want := fmt.Sprintf("/block %s %d", c.LocalAddr(), i+1); !got[want] {
						t.Errorf("no handler saw %q, but %v", want, got)
					}
				}
			})
		})
	}
}

// A response that says timeout takes the place of all else.
func TestKeepTimeoutError(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetBodyString("not this")
			switch string(ctx.Path()) {
			case "/timeout":
				ctx.TimeoutError("too late")
			case "/response":
				var resp fasthttp.Response
				resp.SetStatusCode(418)
				resp.SetBodyString("own")
				ctx.TimeoutErrorWithResponse(&resp)
			case "/code":
				ctx.TimeoutErrorWithCode("later", 503)
			default:
				ctx.SetBodyString("plain")
			}
		}}
		seen := watchStates(fs)
		r := st.start(t, fs)
		c := r.dial(t)
		for range 2 {
			for _, tt := range []struct {
				path   string
				status int
				body   string
			}{{"/timeout", 408, "too late"}, {"/response", 418, "own"}, {"/code", 503, "later"}, {"/", 200, "plain"}} {
				c.send("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", tt.path)
				status, body := c.response()
				expect(t, "status of "+tt.path, status, tt.status)
				expect(t, "answer to "+tt.path, body, tt.body)
			}
		}
		r.stop(t) // which closes it
		expect(t, "what follows", c.rest(), "")
		expect(t, "states", seen.only(t), "new"+strings.Repeat(" active idle", 8)+" closed")
	})
}

// A timeout takes the place of a hijack, too, and the connection is kept.
func TestKeepTimeoutErrorOfHijack(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		r := st.start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) == "/hijack" {
				ctx.Hijack(func(net.Conn) { t.Error("hijacked") })
				ctx.TimeoutErrorWithCode("no hijack", 503)
			}
		}})
		c := r.dial(t)
		for range 2 {
			c.send("GET /hijack HTTP/1.1\r\nHost: x\r\n\r\n")
			status, body := c.response()
			expect(t, "status", status, 503)
			expect(t, "answer", body, "no hijack")
			expect(t, "answer to the next", c.get("/"), "")
		}
	})
}

// What a handler does to its context after it was given up concerns nobody.
func TestKeepTimedOutContext(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		var given atomic.Bool
		ended := make(chan bool, 1)
		r := st.start(t, &fasthttp.Server{MaxRequestsPerConn: 9, Handler: func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) != "/late" {
				return
			}
			gone := make(chan bool)
			go func() {
				<-gone
				for !given.Load() {
					ctx.SetConnectionClose()
					ctx.Hijack(func(net.Conn) { t.Error("hijacked") })
				}
				ended <- true
			}()
			ctx.TimeoutErrorWithCode("given up", 418)
			close(gone)
		}})
		c := r.dial(t)
		c.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
		status, _ := c.response()
		expect(t, "status", status, 418)
		given.Store(true)
		wait(t, ended, "the goroutine")
		expect(t, "answer to the next", c.get("/"), "")
	})
}
