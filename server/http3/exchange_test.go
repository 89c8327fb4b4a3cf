package http3_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/server/http3"
)

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

// unsized hides the length of a body.
type unsized struct{ io.Reader }

// Requests come as they were sent, whatever their method, and however long their body and
// whether its length is said; and the same comes back.
func TestRequests(t *testing.T) {
	for _, streamed := range []bool{false, true} {
		t.Run(fmt.Sprintf("streamed %v", streamed), func(t *testing.T) {
			t.Parallel()
			r := start(t, &fasthttp.Server{
				StreamRequestBody: streamed, MaxRequestBodySize: 64 << 20,
				Handler: func(ctx *fasthttp.RequestCtx) {
					h := &ctx.Response.Header
					h.Set("X-Is", fmt.Sprintf("%s %s %s %s", ctx.Method(), ctx.RequestURI(), ctx.Host(), ctx.Request.Header.Peek("X-Field")))
					h.Set("X-Length", fmt.Sprint(ctx.Request.Header.ContentLength()))
					h.SetContentType("application/x")
					if ctx.RequestBodyStream() != nil {
						b, err := io.ReadAll(ctx.RequestBodyStream())
						if err != nil {
							ctx.Error(err.Error(), 500)
							return
						}
						ctx.SetBody(b)
						return
					}
					ctx.SetBody(ctx.Request.Body())
				},
			})
			c := client(t)
			for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "QUERY"} {
				for _, n := range []int{0, 1, 100, 4095, 4096, 70_000, 1 << 20, 9 << 20} {
					for _, sized := range []bool{true, false} {
						if method != "POST" && n != 0 && n != 4096 {
							continue
						}
						want := pattern(n)
						var in io.Reader = bytes.NewReader(want)
						if !sized {
							in = unsized{in}
						}
						req, err := http.NewRequest(method, r.url+"/path?q=%20x", in)
						if err != nil {
							t.Fatal(err)
						}
						req.Header.Set("X-Field", "värde")
						req.Host = "some.example:99"
						resp, err := c.Do(req)
						if err != nil {
							t.Fatalf("%s, %d bytes, sized %v: %v", method, n, sized, err)
						}
						got := body(t, resp)
						if is := resp.Header.Get("X-Is"); resp.StatusCode != 200 || got != string(want) || is != method+" /path?q=%20x some.example:99 värde" {
							t.Errorf("%s, %d bytes, sized %v: %s, %d bytes, %q", method, n, sized, resp.Status, len(got), is)
						}
						if l := resp.Header.Get("X-Length"); sized && n > 0 && l != fmt.Sprint(n) {
							t.Errorf("%s: the handler sees length %s of %d", method, l, n)
						}
					}
				}
			}
		})
	}
}

// Answers come as HTTP/1.1 has them.
func TestAnswers(t *testing.T) {
	sizes := map[string]int{"0": 0, "1": 1, "4095": 4095, "4096": 4096, "4097": 4097, "65536": 64 << 10, "5M": 5 << 20}
	r := start(t, &fasthttp.Server{Name: "x", Handler: func(ctx *fasthttp.RequestCtx) {
		kind, size, _ := strings.Cut(strings.TrimPrefix(string(ctx.Path()), "/"), "/")
		b := pattern(sizes[size])
		switch kind {
		case "plain":
			ctx.SetBody(b)
		case "sized":
			ctx.SetBodyStream(bytes.NewReader(b), len(b))
		case "unsized":
			ctx.SetBodyStream(bytes.NewReader(b), -1)
		case "204":
			ctx.SetStatusCode(204)
		case "304":
			ctx.SetStatusCode(304)
			ctx.Response.Header.Set("Etag", `"x"`)
		case "cookies":
			for _, name := range []string{"a", "b"} {
				var c fasthttp.Cookie
				c.SetKey(name)
				c.SetValue("1")
				ctx.Response.Header.SetCookie(&c)
			}
		case "bare":
			ctx.Response.Header.SetNoDefaultContentType(true)
			ctx.SetBodyString("<html>")
		case "trailers":
			ctx.Response.Header.SetTrailer("X-Sum")
			ctx.Response.Header.Set("X-Sum", "7")
			ctx.SetBodyStream(strings.NewReader("body"), -1)
		}
	}})
	c := client(t)
	for size, n := range sizes {
		for _, kind := range []string{"plain", "sized", "unsized"} {
			resp, b := get(t, c, r.url+"/"+kind+"/"+size)
			if resp.StatusCode != 200 || b != string(pattern(n)) || kind != "unsized" && resp.ContentLength != int64(n) {
				t.Errorf("%s %s: %s, %d bytes, Content-Length %d", kind, size, resp.Status, len(b), resp.ContentLength)
			}
			resp, err := c.Head(r.url + "/" + kind + "/" + size)
			if err != nil {
				t.Fatal(err)
			}
			if b := body(t, resp); b != "" || kind != "unsized" && n > 0 && resp.Header.Get("Content-Length") != fmt.Sprint(n) {
				t.Errorf("HEAD of %s %s: %d bytes, %v", kind, size, len(b), resp.Header)
			}
		}
	}
	for _, tt := range []struct {
		path   string
		status int
		body   string
		header string
		want   []string
	}{
		{"/204", 204, "", "Content-Length", nil},
		{"/304", 304, "", "Etag", []string{`"x"`}},
		{"/cookies", 200, "", "Set-Cookie", []string{"a=1", "b=1"}},
		{"/bare", 200, "<html>", "Content-Type", nil},
		{"/plain/1", 200, "\x00", "Server", []string{"x"}},
		{"/plain/1", 200, "\x00", "Connection", nil},
		{"/unsized/1", 200, "\x00", "Transfer-Encoding", nil},
	} {
		resp, b := get(t, c, r.url+tt.path)
		if resp.StatusCode != tt.status || b != tt.body || fmt.Sprint(resp.Header.Values(tt.header)) != fmt.Sprint(tt.want) {
			t.Errorf("%s: %s, %q, %v", tt.path, resp.Status, b, resp.Header)
		}
		if resp.Header.Get("Date") == "" {
			t.Errorf("%s has no Date", tt.path)
		}
	}
	resp, b := get(t, c, r.url+"/trailers")
	if b != "body" || resp.Trailer.Get("X-Sum") != "7" {
		t.Errorf("%q, trailers %v", b, resp.Trailer)
	}
}

// Trailers of requests are there when the body has been read.
func TestRequestTrailers(t *testing.T) {
	r := start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		fmt.Fprintf(ctx, "%s %s", ctx.Request.Body(), ctx.Request.Header.Peek("X-Sum"))
	}})
	for _, sized := range []bool{false, true} {
		var in io.Reader = strings.NewReader("body")
		if !sized {
			in = unsized{in}
		}
		req, _ := http.NewRequest("POST", r.url, in)
		req.Trailer = http.Header{"X-Sum": {"7"}}
		resp, err := client(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if b := body(t, resp); b != "body 7" {
			t.Errorf("sized %v: %q", sized, b)
		}
	}
}

// What a client is told before the answer reaches it: 100, and 103 with its links.
func TestInterim(t *testing.T) {
	r := start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.Response.Header.Add("Link", "</a.css>; rel=preload")
		if err := ctx.EarlyHints(); err != nil {
			ctx.Error(err.Error(), 500)
			return
		}
		ctx.Write(ctx.Request.Body())
	}})
	var mu sync.Mutex
	var got []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, fmt.Sprint(code, h.Get("Link")))
		return nil
	}}
	req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), "POST", r.url, strings.NewReader("x"))
	req.Header.Set("Expect", "100-continue")
	resp, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if b := body(t, resp); b != "x" || fmt.Sprint(got) != "[100 103</a.css>; rel=preload]" {
		t.Errorf("%q, %q", b, got)
	}
}

// Many requests at once on one connection, and on several, each get their own answer.
func TestConcurrentStreams(t *testing.T) {
	r := start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		sum := sha256.Sum256(ctx.Request.Body())
		fmt.Fprintf(ctx, "%s %x", ctx.Path(), sum)
	}})
	var wg sync.WaitGroup
	for range 3 {
		c := client(t)
		for i := range 300 {
			wg.Go(func() {
				in := pattern(i * 97)
				resp, err := c.Post(fmt.Sprintf("%s/%d", r.url, i), "x", bytes.NewReader(in))
				if err != nil {
					t.Error(err)
					return
				}
				if b := body(t, resp); b != fmt.Sprintf("/%d %x", i, sha256.Sum256(in)) {
					t.Errorf("%d: %q", i, b)
				}
			})
		}
	}
	wg.Wait()
	if s := r.Stats(); s.Requests != 900 || s.Accepted != 3 {
		t.Errorf("%+v", s)
	}
}

// A body can be answered while it comes: what has come goes back before there is more.
func TestBothWays(t *testing.T) {
	r := start(t, &fasthttp.Server{StreamRequestBody: true, Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.SetBodyStream(ctx.RequestBodyStream(), -1)
		ctx.Response.ImmediateHeaderFlush = true
	}})
	in, out := io.Pipe()
	req, _ := http.NewRequest("POST", r.url, in)
	resp, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, word := range []string{"one", "another", "last"} {
		io.WriteString(out, word)
		got := make([]byte, len(word))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != word {
			t.Fatalf("%q, %v", got, err)
		}
	}
	out.Close()
	if b := body(t, resp); b != "" {
		t.Errorf("%q behind the end", b)
	}
}

// Handlers find what they find elsewhere: addresses by RemoteIP, the TLS state, numbers.
func TestWhatHandlersSee(t *testing.T) {
	type seen struct{ remote, local, tls, id, host string }
	all := make(chan seen, 2)
	r := start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		s := seen{remote: ctx.RemoteIP().String(), local: ctx.LocalAddr().String(), id: fmt.Sprint(ctx.ConnID() > 0, ctx.ConnRequestNum()), host: string(ctx.URI().Scheme())}
		if state := ctx.TLSConnectionState(); ctx.IsTLS() && state != nil {
			s.tls = state.NegotiatedProtocol
		}
		if _, err := ctx.Conn().Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "one of many streams") {
			s.tls = fmt.Sprint("Read: ", err)
		}
		if _, err := ctx.Conn().Write([]byte("HTTP/1.1 200 OK\r\n\r\n")); err == nil {
			s.tls = "Write may be called"
		}
		all <- s
	}})
	c := client(t)
	for i := range 2 {
		get(t, c, r.url)
		want := seen{"127.0.0.1", r.addr, "h3", fmt.Sprint(true, i+1), "https"}
		if got := <-all; got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

// AltSvc and Announce say where HTTP/3 is.
func TestAltSvc(t *testing.T) {
	for port, want := range map[int]string{443: `h3=":443"; ma=86400`, 8443: `h3=":8443"; ma=86400`} {
		if got := http3.AltSvc(port); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Announce leaves alone what a handler has whose time is up, and tells the client nevertheless.
func TestAnnounceAndLateHandlers(t *testing.T) {
	release, ended := make(chan bool), make(chan bool)
	late := fasthttp.TimeoutHandler(func(ctx *fasthttp.RequestCtx) {
		defer close(ended)
		for {
			select {
			case <-release:
				return
			default:
				ctx.Response.Header.Set("Alt-Svc", "clear")
				runtime.Gosched()
			}
		}
	}, time.Millisecond, "too late")
	r := start(t, &fasthttp.Server{Handler: http3.Announce(late, 443)})
	resp, b := get(t, client(t), r.url)
	if got := resp.Header.Get("Alt-Svc"); resp.StatusCode != 408 || b != "too late" || got != http3.AltSvc(443) {
		t.Errorf("%s, %q, %q", resp.Status, b, got)
	}
	close(release)
	within(t, "the late handler ends", ended)
}
