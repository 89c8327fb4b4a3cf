//go:build linux && (amd64 || arm64)

package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// A handler need not read a streamed body; what it leaves is not taken for the
// next request.
func TestKeepStreamedBody(t *testing.T) {
	chunked := func(body string) string {
		var b strings.Builder
		for len(body) > 0 {
			n := min(len(body), 5000)
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
			body = body[n:]
		}
		return b.String() + "0\r\n\r\n"
	}
	for _, size := range []int{1, 3000, 200_000} { // in one read; more than a buffer; less than is given up
		body := strings.Repeat("b", size)
		for _, framing := range []string{"length", "chunked"} {
			for _, read := range []string{"none", "part", "all"} {
				t.Run(fmt.Sprintf("%d, %s, reads %s", size, framing, read), func(t *testing.T) {
					onEach(t, func(t *testing.T, st stack) {
						r := st.start(t, &fasthttp.Server{StreamRequestBody: true, Handler: func(ctx *fasthttp.RequestCtx) {
							var n int64
							var err error
							switch string(ctx.Path()) {
							case "/part":
								n, err = io.CopyN(io.Discard, ctx.RequestBodyStream(), int64(size/2))
							case "/all":
								n, err = io.Copy(io.Discard, ctx.RequestBodyStream())
							}
							fmt.Fprintf(ctx, "%d: %d %v", ctx.ConnRequestNum(), n, err)
						}})
						c := r.dial(t)
						want := map[string]int{"none": 0, "part": size / 2, "all": size}[read]
						for i := range 3 {
							if framing == "length" {
								c.send("POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", read, size, body)
							} else {
								c.send("POST /%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%s", read, chunked(body))
							}
							_, got := c.response()
							expect(t, "answer", got, fmt.Sprintf("%d: %d <nil>", i+1, want))
						}
						expect(t, "answer without a body", c.get("/none"), "4: 0 <nil>")
					})
				})
			}
		}
	}
}

// The handler sees a streamed body while it arrives.
func TestKeepBodyWhileItArrives(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		got := make(chan string)
		r := st.start(t, &fasthttp.Server{StreamRequestBody: true, Handler: func(ctx *fasthttp.RequestCtx) {
			for buf := make([]byte, 5); ; {
				n, err := io.ReadFull(ctx.RequestBodyStream(), buf)
				if err != nil {
					return
				}
				got <- string(buf[:n])
			}
		}})
		c := r.dial(t)
		for range 2 {
			c.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
			for _, part := range []string{"part1", "part2", "part3"} {
				c.send("5\r\n%s\r\n", part)
				expect(t, "part", wait(t, got, "a part"), part)
			}
			c.send("0\r\n\r\n")
			status, _ := c.response()
			expect(t, "status", status, 200)
		}
	})
}

// What a body stream writer flushes arrives while the writer waits.
func TestKeepBodyStreamWriter(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		more := make(chan string)
		r := st.start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
				for part := range more {
					if part == "" {
						return
					}
					w.WriteString(part)
					if err := w.Flush(); err != nil {
						t.Errorf("Flush: %v", err)
					}
				}
			})
		}})
		c, other := r.dial(t), r.dial(t)
		for range 2 {
			c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			more <- "first"
			resp := c.head()
			for i, part := range []string{"first", "second", "third"} {
				if i > 0 {
					more <- part
				}
				buf := make([]byte, len(part))
				if _, err := io.ReadFull(resp.Body, buf); err != nil {
					t.Fatal(err)
				}
				expect(t, "part", string(buf), part)
			}
			more <- ""
			rest, err := io.ReadAll(resp.Body)
			if err != nil || len(rest) > 0 {
				t.Errorf("rest: %q, %v", rest, err)
			}
		}
		close(more)
		expect(t, "another's empty stream", other.get("/"), "")
	})
}

func TestKeepContinue(t *testing.T) {
	handlers := []struct {
		name string
		set  func(*fasthttp.Server)
		deny int // status of what is denied
	}{
		{"none", func(*fasthttp.Server) {}, 0},
		{"ContinueHandler", func(fs *fasthttp.Server) {
			fs.ContinueHandler = func(h *fasthttp.RequestHeader) bool { return string(h.RequestURI()) != "/deny" }
		}, 417},
		{"ExpectHandler", func(fs *fasthttp.Server) {
			fs.ExpectHandler = func(ctx *fasthttp.RequestCtx) int {
				if string(ctx.Path()) == "/deny" {
					return 413
				}
				return 100
			}
		}, 413},
	}
	for _, h := range handlers {
		for _, streamed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, streamed %v", h.name, streamed), func(t *testing.T) {
				onEach(t, func(t *testing.T, st stack) {
					fs := &fasthttp.Server{StreamRequestBody: streamed, Handler: func(ctx *fasthttp.RequestCtx) {
						if !ctx.Request.IsBodyStream() {
							ctx.Write(ctx.Request.Body())
							return
						}
						body, err := io.ReadAll(ctx.RequestBodyStream())
						if err != nil {
							t.Error(err)
						}
						ctx.Write(body)
					}}
					h.set(fs)
					c := st.start(t, fs).dial(t)
					for range 3 {
						c.send("POST /accept HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
						expect(t, "first status", c.head().StatusCode, 100) // before the body is sent
						c.send("hello")
						status, body := c.response()
						expect(t, "status", status, 200)
						expect(t, "answer", body, "hello")
					}
					c.send("POST /deny HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
					if h.deny == 0 {
						expect(t, "first status", c.head().StatusCode, 100)
						return
					}
					resp := c.head()
					expect(t, "status of what is denied", resp.StatusCode, h.deny)
					expect(t, "Connection: close", resp.Close, true)
					expect(t, "what follows", c.rest(), "")
				})
			})
		}
	}
}

// A hijacker gets all bytes behind the request, also those that have been read
// already, and the connection for itself.
func TestKeepHijack(t *testing.T) {
	for _, tt := range []struct {
		name             string
		set              func(*fasthttp.Server)
		silent, pipeline bool
	}{
		{"leftover bytes", func(*fasthttp.Server) {}, false, false},
		{"leftover bytes, second request", func(*fasthttp.Server) {}, false, true},
		{"HijackSetNoResponse", func(*fasthttp.Server) {}, true, false},
		{"HijackSetNoResponse, second request", func(*fasthttp.Server) {}, true, true},
		{"ReduceMemoryUsage", func(fs *fasthttp.Server) { fs.ReduceMemoryUsage = true }, false, true},
		{"ReadTimeout", func(fs *fasthttp.Server) {
			fs.ReadTimeout, fs.WriteTimeout, fs.IdleTimeout = generous, generous, generous
		}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				ended := make(chan error, 1)
				fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
					if string(ctx.Path()) != "/hijack" {
						ctx.Write(ctx.Path())
						return
					}
					ctx.HijackSetNoResponse(tt.silent)
					ctx.Hijack(func(c net.Conn) {
						br := bufio.NewReader(c)
						for {
							line, err := br.ReadString('\n')
							if err != nil {
								ended <- err
								return
							}
							fmt.Fprintf(c, "heard %s", line)
						}
					})
				}}
				tt.set(fs)
				seen := watchStates(fs)
				r := st.start(t, fs)
				c := r.dial(t)
				if tt.pipeline {
					c.send("GET /first HTTP/1.1\r\nHost: x\r\n\r\nGET /hijack HTTP/1.1\r\nHost: x\r\n\r\nleft\nover")
					_, body := c.response()
					expect(t, "answer before", body, "/first")
				} else {
					c.send("GET /hijack HTTP/1.1\r\nHost: x\r\n\r\nleft\nover")
				}
				if !tt.silent {
					status, _ := c.response()
					expect(t, "status", status, 200)
				}
				hear := func(want string) {
					t.Helper()
					got, err := c.br.ReadString('\n')
					if err != nil {
						t.Fatalf("%v after %q", err, got)
					}
					expect(t, "what the hijacker says", got, "heard "+want+"\n")
				}
				hear("left")
				c.send(" and more\n")
				hear("over and more")
				for i := range 10 {
					c.send("%d\n", i)
					hear(fmt.Sprint(i))
				}
				seen.until(t, fasthttp.StateHijacked)
				r.stop(t) // a hijacked connection is none of a shutdown's business
				c.send("still\n")
				hear("still")
				c.closeWrite()
				expectErr(t, "end", wait(t, ended, "the hijacker to end"), io.EOF)
				expect(t, "what follows", c.rest(), "")
				want := "new active hijacked"
				if tt.pipeline {
					want = "new active idle active hijacked"
				}
				expect(t, "states", seen.only(t), want)
			})
		})
	}
}

// With KeepHijackedConns the connection outlives the hijack handler.
func TestKeepHijackedConns(t *testing.T) {
	for _, reduce := range []bool{false, true} {
		t.Run(fmt.Sprintf("ReduceMemoryUsage %v", reduce), func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				kept := make(chan net.Conn, 1)
				r := st.start(t, &fasthttp.Server{KeepHijackedConns: true, ReduceMemoryUsage: reduce, Handler: func(ctx *fasthttp.RequestCtx) {
					if string(ctx.Path()) == "/hijack" {
						ctx.Hijack(func(c net.Conn) { kept <- c })
					}
				}})
				c, other := r.dial(t), r.dial(t)
				c.get("/")
				c.send("GET /hijack HTTP/1.1\r\nHost: x\r\n\r\nleft")
				c.response()
				nc := wait(t, kept, "the hijacker")
				other.get("/")
				c.send("over")
				buf := make([]byte, 8)
				if _, err := io.ReadFull(nc, buf); err != nil {
					t.Fatal(err)
				}
				expect(t, "what is read", string(buf), "leftover")
				if _, err := io.WriteString(nc, "bye"); err != nil {
					t.Fatal(err)
				}
				if err := nc.Close(); err != nil {
					t.Fatal(err)
				}
				expect(t, "what is written", c.rest(), "bye")
				if _, err := nc.Write(buf); !errors.Is(err, net.ErrClosed) {
					t.Errorf("Write after Close: %v", err)
				}
			})
		})
	}
}

// A connection that is to be closed is not hijacked.
func TestKeepHijackOfClosing(t *testing.T) {
	for _, tt := range []struct{ name, path, header string }{
		{"the request says so", "/hijack", "Connection: close\r\n"},
		{"the handler says so", "/close", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
					if string(ctx.Path()) == "/" {
						return
					}
					ctx.Hijack(func(net.Conn) { t.Error("hijacked") })
					if string(ctx.Path()) == "/close" {
						ctx.SetConnectionClose()
					}
				}}
				seen := watchStates(fs)
				r := st.start(t, fs)
				c := r.dial(t)
				c.get("/")
				c.send("GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", tt.path, tt.header)
				expect(t, "answers", keepStatuses(c), "200 close")
				seen.until(t, fasthttp.StateClosed)
				r.stop(t)
				expect(t, "states", seen.only(t), "new active idle active closed")
			})
		})
	}
}
