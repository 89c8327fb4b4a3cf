package server_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// noise returns n bytes that do not repeat.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

func TestStreamRequestBody(t *testing.T) {
	const small, large = 64 << 10, 2 << 20 // what fasthttp reads away for the handler, and what not
	for _, tt := range []struct {
		read   string
		size   int
		closes bool // fasthttp closes when more than 256 KiB are left
	}{
		{"all", small, false}, {"all", large, false},
		{"part", small, false}, {"part", large, true},
		{"none", small, false}, {"none", large, true},
		{"closed", small, false}, {"closed", large, true},
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s of %d, chunked=%v", tt.read, tt.size, chunked), func(t *testing.T) {
				onEach(t, func(t *testing.T, st stack) {
					body := noise(tt.size)
					fs := &fasthttp.Server{StreamRequestBody: true, Handler: func(ctx *fasthttp.RequestCtx) {
						switch string(ctx.Path()) {
						case "/all":
							b, err := io.ReadAll(ctx.RequestBodyStream())
							if err != nil || !bytes.Equal(b, body) {
								t.Errorf("read %d bytes, %v", len(b), err)
							}
						case "/part":
							b := make([]byte, 10000)
							if _, err := io.ReadFull(ctx.RequestBodyStream(), b); err != nil || !bytes.Equal(b, body[:len(b)]) {
								t.Errorf("part: %v", err)
							}
						case "/closed":
							if err := ctx.Request.CloseBodyStream(); err != nil {
								t.Error(err)
							}
						}
						echoPath(ctx)
					}}
					c := st.start(t, fs).dial(t)
					sent := make(chan error, 1)
					go func() {
						var err error
						if chunked {
							_, err = fmt.Fprintf(c, "POST /%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", tt.read, len(body), body)
						} else {
							_, err = fmt.Fprintf(c, "POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", tt.read, len(body), body)
						}
						sent <- err
					}()
					resp := c.head()
					got, err := io.ReadAll(resp.Body)
					if err != nil || string(got) != "/"+tt.read || resp.StatusCode != 200 {
						t.Errorf("%d %q %v", resp.StatusCode, got, err)
					}
					if tt.closes {
						c.rest()
						return
					}
					if err := wait(t, sent, "the body to be taken"); err != nil {
						t.Fatal(err)
					}
					expect(t, "next", c.get("/next"), "/next")
				})
			})
		}
	}
}

// The handler runs, and may answer, before the body has come.
func TestStreamRequestBodyAnswersFirst(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		fs := &fasthttp.Server{StreamRequestBody: true, Handler: func(ctx *fasthttp.RequestCtx) {
			stream := ctx.RequestBodyStream()
			ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
				for r := bufio.NewReader(stream); ; {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					fmt.Fprintf(w, "got %s", line)
					w.Flush()
				}
			})
		}}
		c := st.start(t, fs).dial(t)
		c.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
		var answer *bufio.Reader
		for i := range 20 {
			line := fmt.Sprintf("line %d\n", i)
			c.send("%x\r\n%s\r\n", len(line), line)
			if answer == nil {
				answer = bufio.NewReader(c.head().Body)
			}
			got, err := answer.ReadString('\n')
			if err != nil || got != "got "+line {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		c.send("0\r\n\r\n")
		if b, err := io.ReadAll(answer); err != nil || len(b) > 0 {
			t.Errorf("%q, %v", b, err)
		}
		c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nx\n")
		_, body := c.response()
		expect(t, "next", body, "got x\n")
	})
}

func TestSetBodyStreamWriter(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		seen := make(chan bool)
		gone := make(chan error, 1)
		fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			forEver := string(ctx.Path()) == "/ever"
			ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
				for i := 0; forEver || i < 10; i++ {
					fmt.Fprintf(w, "part %d\n", i)
					if err := w.Flush(); err != nil {
						gone <- err
						return
					}
					if !forEver {
						<-seen // by the client, before there is more
					}
				}
			})
		}}
		r := st.start(t, fs)
		c := r.dial(t)
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		resp := c.head()
		body := bufio.NewReader(resp.Body)
		for i := range 10 {
			line, err := body.ReadString('\n')
			if err != nil || line != fmt.Sprintf("part %d\n", i) {
				t.Fatalf("got %q, %v", line, err)
			}
			seen <- true
		}
		if _, err := body.ReadByte(); err != io.EOF {
			t.Errorf("end: %v", err)
		}
		c.send("GET /ever HTTP/1.1\r\nHost: x\r\n\r\n")
		c.head().Body.Read(make([]byte, 10))
		c.Close()
		if err := wait(t, gone, "the writer to learn that the client is gone"); err == nil {
			t.Error("no error")
		}
	})
}

func TestExpectContinue(t *testing.T) {
	const request = "POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
	for _, tt := range []struct {
		name    string
		set     func(*fasthttp.Server)
		refusal int
	}{
		{"no handler", func(*fasthttp.Server) {}, 0},
		{"StreamRequestBody", func(fs *fasthttp.Server) { fs.StreamRequestBody = true }, 0},
		{"ReduceMemoryUsage", func(fs *fasthttp.Server) { fs.ReduceMemoryUsage = true }, 0},
		{"ContinueHandler", func(fs *fasthttp.Server) {
			fs.ContinueHandler = func(h *fasthttp.RequestHeader) bool { return string(h.RequestURI()) != "/no" }
		}, 417},
		{"ExpectHandler", func(fs *fasthttp.Server) {
			fs.ExpectHandler = func(ctx *fasthttp.RequestCtx) int {
				if string(ctx.Path()) == "/no" {
					return 403
				}
				return fasthttp.StatusContinue
			}
		}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.Write(ctx.Request.Body()) }}
				tt.set(fs)
				c := st.start(t, fs).dial(t)
				for _, body := range []string{"hello", "world"} {
					c.send(request, "yes")
					interim, err := c.br.Peek(25)
					if err != nil || string(interim) != "HTTP/1.1 100 Continue\r\n\r\n" {
						t.Fatalf("%q, %v", interim, err)
					}
					c.br.Discard(25)
					c.send("%s", body)
					_, got := c.response()
					expect(t, "body", got, body)
				}
				if tt.refusal == 0 {
					return
				}
				c.send(request, "no")
				resp := c.head()
				expect(t, "status", resp.StatusCode, tt.refusal)
				expect(t, "close", resp.Close, true)
				c.rest()
			})
		})
	}
}

func TestLargeBodies(t *testing.T) {
	for _, stream := range []bool{false, true} {
		t.Run(fmt.Sprintf("StreamRequestBody=%v", stream), func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				body := noise(16 << 20)
				sum := fmt.Sprintf("%x", sha256.Sum256(body))
				fs := &fasthttp.Server{MaxRequestBodySize: 64 << 20, StreamRequestBody: stream, Handler: func(ctx *fasthttp.RequestCtx) {
					switch string(ctx.Path()) {
					case "/body":
						ctx.SetBody(body)
					case "/stream":
						ctx.SetBodyStream(bytes.NewReader(body), len(body))
					case "/chunks":
						ctx.SetBodyStreamWriter(func(w *bufio.Writer) { w.Write(body) })
					case "/up":
						h := sha256.New()
						if err := ctx.Request.BodyWriteTo(h); err != nil {
							t.Error(err)
						}
						fmt.Fprintf(ctx, "%x", h.Sum(nil))
					}
				}}
				base := "http://" + st.start(t, fs).addr
				client := &http.Client{Transport: &http.Transport{}, Timeout: generous}
				defer client.CloseIdleConnections()
				for _, path := range []string{"/body", "/stream", "/chunks"} {
					resp, err := client.Get(base + path)
					if err != nil {
						t.Fatal(err)
					}
					h := sha256.New()
					if n, err := io.Copy(h, resp.Body); err != nil || n != int64(len(body)) || fmt.Sprintf("%x", h.Sum(nil)) != sum {
						t.Errorf("%s: %d bytes, %v", path, n, err)
					}
					resp.Body.Close()
				}
				for _, up := range []io.Reader{bytes.NewReader(body), struct{ io.Reader }{bytes.NewReader(body)}} { // the second in chunks
					resp, err := client.Post(base+"/up", "", up)
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || string(got) != sum {
						t.Errorf("sent one, the server read another: %q, %v", got, err)
					}
				}
			})
		})
	}
}

// ErrorHandler is given the same errors.
func TestErrorHandler(t *testing.T) {
	for _, tt := range []struct{ name, send, want string }{
		{"nothing, then the end", "", ""},
		{"malformed", "nonsense\r\n\r\n", "*fmt.wrapError"},
		{"header too big", "GET / HTTP/1.1\r\nA: " + strings.Repeat("a", 5000) + "\r\n\r\n", "*fasthttp.ErrSmallBuffer"},
		{"half a header", "GET / HT", "*fmt.wrapError"},
		{"half a body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", "*errors.errorString unexpected EOF"},
		{"body too big", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n", "*errors.errorString"},
		{"bad chunk", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "*errors.errorString"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				fs := &fasthttp.Server{Handler: echoPath, MaxRequestBodySize: 10, ErrorHandler: func(ctx *fasthttp.RequestCtx, err error) {
					kind := fmt.Sprintf("%T", err)
					if errors.Is(err, io.ErrUnexpectedEOF) {
						kind += " unexpected EOF"
					}
					ctx.Error(kind, 418)
				}}
				c := st.start(t, fs).dial(t)
				c.send("%s", tt.send)
				c.closeWrite()
				if tt.want == "" {
					expect(t, "received", c.rest(), "")
					return
				}
				status, body := c.response()
				expect(t, "status", status, 418)
				expect(t, "error", body, tt.want)
			})
		})
	}
}
