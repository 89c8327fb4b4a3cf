package server_test

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// answer is how fasthttp answers an error.
func answer(status, body string) string {
	return "HTTP/1.1 " + status + "\r\nServer: fasthttp\r\nDate: now\r\nContent-Type: text/plain; charset=utf-8\r\n" +
		"Content-Length: " + map[int]string{15: "15", 26: "26"}[len(body)] + "\r\nConnection: close\r\n\r\n" + body
}

func TestReadTimeouts(t *testing.T) {
	var (
		timeout   = answer("408 Request Timeout", "Request timeout")
		malformed = answer("400 Bad Request", "Error when parsing request")
		ok        = "HTTP/1.1 200 OK\r\nServer: fasthttp\r\nDate: now\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 1\r\n\r\n/"
	)
	read := func(fs *fasthttp.Server) { fs.ReadTimeout = short }
	idle := func(fs *fasthttp.Server) { fs.IdleTimeout = short }
	perRequest := func(fs *fasthttp.Server) {
		fs.HeaderReceived = func(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
			return fasthttp.RequestConfig{ReadTimeout: short, MaxRequestBodySize: 10}
		}
	}
	const half = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"
	const over = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n0123456789a"
	for _, tt := range []struct {
		name       string
		set        func(*fasthttp.Server)
		send, want string
	}{
		{"nothing sent", read, "", timeout},
		{"half a line", read, "GE", malformed},
		{"half a header", read, "GET / HTTP/1.1\r\nHo", malformed},
		{"half a body", read, half, timeout},
		{"half a chunk", read, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", timeout},
		{"no body after 100", read, expects, "HTTP/1.1 100 Continue\r\n\r\n" + timeout},
		{"idle for ReadTimeout", read, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", ok},
		{"idle for IdleTimeout", idle, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", ok},
		{"idle, half a second header", read, "GET / HTTP/1.1\r\nHost: x\r\n\r\nGE", ok + malformed},
		{"per request, half a body", perRequest, half, timeout},
		{"per request, body too big", perRequest, over, malformed},
	} {
		for _, reduce := range []bool{false, true} {
			name := tt.name
			want := tt.want
			if reduce {
				name += ", ReduceMemoryUsage"
				if tt.send == "" {
					want = "" // fasthttp takes it for the end of the connection
				}
			}
			t.Run(name, func(t *testing.T) {
				onEach(t, func(t *testing.T, st stack) {
					fs := &fasthttp.Server{Handler: echoPath, ReduceMemoryUsage: reduce}
					tt.set(fs)
					c := st.start(t, fs).dial(t)
					c.send("%s", tt.send)
					expect(t, "received", maskDate(c.rest()), want)
				})
			})
		}
	}
}

// IdleTimeout limits the wait for a request, not the request.
func TestIdleTimeoutEndsWithFirstByte(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		fs := &fasthttp.Server{Handler: echoPath, IdleTimeout: short}
		seen := watchStates(fs)
		r := st.start(t, fs)
		slow, idle := r.dial(t), r.dial(t)
		slow.get("/")
		slow.send("GET /slow HT")
		for range 2 {
			seen.until(t, fasthttp.StateActive)
		}
		idle.get("/") // from now on it is idle, and slow not any more
		expect(t, "rest of the idle connection", idle.rest(), "")
		slow.send("TP/1.1\r\nHost: x\r\n\r\n")
		_, body := slow.response()
		expect(t, "body", body, "/slow")
	})
}

// A timeout counts from the first byte of a request, not from the last request.
func TestReadTimeoutBeginsWithRequest(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		fs := &fasthttp.Server{Handler: echoPath, ReadTimeout: time.Second, IdleTimeout: generous}
		seen := watchStates(fs)
		r := st.start(t, fs)
		a, clock := r.dial(t), r.dial(t)
		a.get("/")
		seen.until(t, fasthttp.StateIdle)
		expect(t, "another connection's end", maskDate(clock.rest()), answer("408 Request Timeout", "Request timeout"))
		// More than ReadTimeout has passed for a.
		a.send("GET /late HT")
		seen.until(t, fasthttp.StateActive)
		a.send("TP/1.1\r\nHost: x\r\n\r\n")
		_, body := a.response()
		expect(t, "body", body, "/late")
	})
}

func TestWriteTimeout(t *testing.T) {
	big := bytes.Repeat([]byte("w"), 64<<20)
	perRequest := func(fs *fasthttp.Server) {
		fs.HeaderReceived = func(*fasthttp.RequestHeader) fasthttp.RequestConfig {
			return fasthttp.RequestConfig{WriteTimeout: short}
		}
	}
	for _, tt := range []struct {
		name string
		set  func(*fasthttp.Server)
		path string
	}{
		{"body", func(fs *fasthttp.Server) { fs.WriteTimeout = short }, "/body"},
		{"stream", func(fs *fasthttp.Server) { fs.WriteTimeout = short }, "/stream"},
		{"per request", perRequest, "/body"},
		{"by the handler", func(*fasthttp.Server) {}, "/deadline"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				log := new(lines)
				fs := &fasthttp.Server{Logger: log, LogAllErrors: true, Handler: func(ctx *fasthttp.RequestCtx) {
					switch string(ctx.Path()) {
					case "/stream":
						ctx.SetBodyStream(bytes.NewReader(big), len(big))
					case "/deadline":
						if err := ctx.SetWriteDeadline(time.Now().Add(short)); err != nil {
							t.Error(err)
						}
						ctx.SetBody(big)
					default:
						ctx.SetBody(big)
					}
				}}
				tt.set(fs)
				seen := watchStates(fs)
				r := st.start(t, fs)
				c := r.dial(t)
				c.send("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", tt.path)
				seen.until(t, fasthttp.StateClosed) // though c has not read a byte
				expect(t, "states", seen.only(t), "new active closed")
				n, _ := io.Copy(io.Discard, c.br)
				if n >= int64(len(big)) {
					t.Errorf("all %d bytes came", n)
				}
				r.stop(t)
				if got := log.String(); !strings.HasSuffix(got, ": i/o timeout") {
					t.Errorf("logged %q", got)
				}
			})
		})
	}
}

// Deadlines that a handler sets hold for its request, and no longer.
func TestHandlerDeadlines(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*fasthttp.Server)
	}{
		{"without timeouts", func(*fasthttp.Server) {}},
		{"with timeouts", func(fs *fasthttp.Server) {
			fs.ReadTimeout, fs.WriteTimeout, fs.IdleTimeout = generous, generous, generous
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				errs := make(chan error, 1)
				fs := &fasthttp.Server{StreamRequestBody: true, Handler: func(ctx *fasthttp.RequestCtx) {
					switch string(ctx.Path()) {
					case "/read":
						if err := ctx.SetReadDeadline(time.Now().Add(short)); err != nil {
							t.Error(err)
						}
						_, err := io.ReadAll(ctx.RequestBodyStream())
						errs <- err
					case "/past":
						ctx.SetReadDeadline(time.Now().Add(-time.Second))
						ctx.SetWriteDeadline(time.Now().Add(generous))
					}
					echoPath(ctx)
				}}
				tt.set(fs)
				seen := watchStates(fs)
				r := st.start(t, fs)
				c := r.dial(t)
				c.get("/past")
				seen.until(t, fasthttp.StateIdle)
				c.get("/") // a past deadline does not outlive its request
				seen.until(t, fasthttp.StateIdle)
				c.send("POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
				expectErr(t, "reading half a body", wait(t, errs, "the handler"), os.ErrDeadlineExceeded)
				resp := c.head()
				expect(t, "status", resp.StatusCode, 200)
				expect(t, "close", resp.Close, true)
			})
		})
	}
}

// The time of a burst is not the time of the connection: many requests with
// gaps, under every timeout, none of which passes.
func TestTimeoutsAreNotReached(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		fs := &fasthttp.Server{Handler: echoPath, ReadTimeout: generous, WriteTimeout: generous, IdleTimeout: short * 20}
		seen := watchStates(fs)
		c := st.start(t, fs).dial(t)
		for range 50 {
			c.get("/")
			seen.until(t, fasthttp.StateIdle)
		}
		c.closeWrite()
		expect(t, "rest", c.rest(), "")
	})
}
