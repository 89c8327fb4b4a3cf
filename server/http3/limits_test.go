package http3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	qhttp3 "github.com/quic-go/quic-go/http3"
	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server/http3"
)

// Limits on requests are fasthttp's, with its answers.
func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		set    func(*fasthttp.Server)
		ask    func(url string) *http.Request
		status int
	}{
		{"a body that is too long", func(fs *fasthttp.Server) { fs.MaxRequestBodySize = 1000 }, posts(bytes.NewReader(pattern(1001))), 400},
		{"one of no length", func(fs *fasthttp.Server) { fs.MaxRequestBodySize = 1000 }, posts(unsized{bytes.NewReader(pattern(1001))}), 400},
		{"one that fits", func(fs *fasthttp.Server) { fs.MaxRequestBodySize = 1000 }, posts(unsized{bytes.NewReader(pattern(1000))}), 200},
		{"the default limit", nil, posts(bytes.NewReader(pattern(fasthttp.DefaultMaxRequestBodySize + 1))), 400},
		{"a head that is too long for fasthttp", nil, with("X", strings.Repeat("x", 8<<10)), 431},
		{"and for us", nil, with("X", strings.Repeat("x", 100<<10)), 431},
		{"one that fits", func(fs *fasthttp.Server) { fs.ReadBufferSize = 16 << 10 }, with("X", strings.Repeat("x", 8<<10)), 200},
		{"GET only", func(fs *fasthttp.Server) { fs.GetOnly = true }, posts(strings.NewReader("x")), 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fs := &fasthttp.Server{Handler: func(*fasthttp.RequestCtx) {}}
			if tt.set != nil {
				tt.set(fs)
			}
			r := start(t, fs)
			resp, err := client(t).Do(tt.ask(r.url))
			if err != nil {
				t.Fatal(err)
			}
			if body(t, resp); resp.StatusCode != tt.status {
				t.Errorf("%s, want %d", resp.Status, tt.status)
			}
			// It is one stream that has failed, and no handler has had it (400 is fasthttp's word for a body that is too long).
			if resp, _ := get(t, client(t), r.url); resp.StatusCode != 200 {
				t.Errorf("then %s", resp.Status)
			}
		})
	}
}

func posts(in io.Reader) func(string) *http.Request {
	return func(url string) *http.Request {
		req, _ := http.NewRequest("POST", url, in)
		return req
	}
}

func with(name, value string) func(string) *http.Request {
	return func(url string) *http.Request {
		req, _ := http.NewRequest("GET", url, nil)
		req.Header.Set(name, value)
		return req
	}
}

// A body that does not come in time is answered with 408, and a client that takes nothing of
// an answer loses it; the connection goes on.
func TestTimeouts(t *testing.T) {
	read := start(t, &fasthttp.Server{ReadTimeout: 100 * time.Millisecond, IdleTimeout: generous, Handler: func(*fasthttp.RequestCtx) {}})
	in, out := io.Pipe()
	defer out.Close()
	req, _ := http.NewRequest("POST", read.url, in)
	resp, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if body(t, resp); resp.StatusCode != 408 {
		t.Errorf("a body that does not come: %s", resp.Status)
	}
	big := func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) == "/big" {
			ctx.SetBodyStream(bytes.NewReader(make([]byte, 64<<20)), 64<<20)
		}
	}
	for name, set := range map[string]func(*fasthttp.Server) []conn.Option{
		"WriteTimeout": func(fs *fasthttp.Server) []conn.Option { fs.WriteTimeout = 300 * time.Millisecond; return nil },
		"WithStallTimeout": func(*fasthttp.Server) []conn.Option {
			return []conn.Option{http3.WithStallTimeout(300 * time.Millisecond)}
		},
	} {
		idle := make(chan bool, 10)
		fs := &fasthttp.Server{Handler: big, ConnState: func(_ net.Conn, s fasthttp.ConnState) {
			if s == fasthttp.StateIdle {
				idle <- true
			}
		}}
		opts := set(fs)
		r := start(t, fs, opts...)
		c := client(t)
		resp, err := c.Get(r.url + "/big")
		if err != nil {
			t.Fatal(err)
		}
		within(t, name+": the request is given up", idle)
		var reset *qhttp3.Error
		if n, err := io.Copy(io.Discard, resp.Body); !errors.As(err, &reset) {
			t.Errorf("%s: %d bytes, %v; want a reset", name, n, err)
		}
		resp.Body.Close()
		if resp, _ := get(t, c, r.url); resp.StatusCode != 200 || r.Stats().Accepted != 1 {
			t.Errorf("%s: then %s, of %d connections", name, resp.Status, r.Stats().Accepted)
		}
	}
}

// A connection that is one too many is refused, and counts no more when it has gone.
func TestLimitsOfConnections(t *testing.T) {
	for name, fs := range map[string]*fasthttp.Server{
		"Concurrency": {Concurrency: 2}, "MaxConnsPerIP": {MaxConnsPerIP: 2},
	} {
		t.Run(name, func(t *testing.T) {
			fs.Handler = func(*fasthttp.RequestCtx) {}
			r := start(t, fs)
			first := client(t)
			get(t, first, r.url)
			get(t, client(t), r.url)
			_, err := client(t).Get(r.url)
			var refused *qhttp3.Error
			if !errors.As(err, &refused) || refused.ErrorCode != qhttp3.ErrCodeExcessiveLoad {
				t.Fatalf("the third: %v", err)
			}
			if s := r.Stats(); s.Rejected != 1 || s.Connections != 2 {
				t.Errorf("%+v", s)
			}
			first.CloseIdleConnections()
			eventually(t, "there is room", func() bool { return r.Stats().Connections < 2 })
			get(t, client(t), r.url)
		})
	}
}

// A connection without requests ends after IdleTimeout, and also if a head is begun and does
// not come.
func TestIdleTimeout(t *testing.T) {
	r := start(t, &fasthttp.Server{IdleTimeout: 100 * time.Millisecond, Handler: func(*fasthttp.RequestCtx) {}})
	for name, begin := range map[string]func(*quic.Conn){
		"nothing": func(*quic.Conn) {},
		"half a head": func(c *quic.Conn) {
			s, err := c.OpenStream()
			if err == nil {
				_, err = s.Write([]byte{1, 20, 0, 0}) // HEADERS of 20 bytes
			}
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		c, _ := r.dial(t)
		begin(c)
		within(t, name+": the connection ends", c.Context().Done())
		var gone *quic.ApplicationError
		if err := context.Cause(c.Context()); !errors.As(err, &gone) || gone.ErrorCode != quic.ApplicationErrorCode(qhttp3.ErrCodeNoError) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// ConnState is told of connections.
func TestConnState(t *testing.T) {
	states := make(chan string, 100)
	r := start(t, &fasthttp.Server{
		Handler: func(*fasthttp.RequestCtx) {},
		ConnState: func(c net.Conn, s fasthttp.ConnState) {
			if _, ok := c.RemoteAddr().(*net.TCPAddr); !ok {
				t.Errorf("%T", c.RemoteAddr())
			}
			states <- s.String()
		},
	})
	c := client(t)
	get(t, c, r.url)
	c.CloseIdleConnections()
	var got []string
	for range 4 {
		got = append(got, within(t, "a state", states))
	}
	if fmt.Sprint(got) != "[new active idle closed]" {
		t.Errorf("%v", got)
	}
}
