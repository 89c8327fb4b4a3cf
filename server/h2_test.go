//go:build linux && (amd64 || arm64)

package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// h2Stack serves HTTP/2 over TLS and in the clear.
var h2Stack = h2On("")

func h2On(name string, opts ...conn.Option) stack {
	st := esca(name, opts...)
	st.server = func(fs *fasthttp.Server) served { return server.New(fs, server.WithH2C(true)) }
	return st
}

// onH2 runs test on every dispatch, over TLS and in the clear.
func onH2(t *testing.T, test func(t *testing.T, start func(*fasthttp.Server) *h2Running)) {
	onH2Stacks(t, test,
		h2On("-1-adaptive", conn.WithLoops(1)),
		h2On("-1-inline", conn.WithLoops(1), conn.WithDispatch(conn.DispatchInline)),
		h2On("-2-goroutines", conn.WithLoops(2), conn.WithDispatch(conn.DispatchGoroutine)))
}

func onH2Stacks(t *testing.T, test func(t *testing.T, start func(*fasthttp.Server) *h2Running), stacks ...stack) {
	srv, cfg := serverTLS(t)
	for _, st := range stacks {
		for _, secure := range []bool{false, true} {
			name := st.name + map[bool]string{false: ", clear", true: ", TLS"}[secure]
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, func(fs *fasthttp.Server) *h2Running {
					t.Helper()
					r := &h2Running{scheme: "http"}
					if secure {
						fs.TLSConfig, r.scheme, r.tls = srv.Clone(), "https", cfg.Clone()
					}
					r.running = st.start(t, fs)
					return r
				})
			})
		}
	}
}

type h2Running struct {
	*running
	scheme string
	tls    *tls.Config // of clients; nil: in the clear
}

// client returns a client of one version of HTTP.
func (r *h2Running) client(t *testing.T, version int) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP1(version == 1)
	p.SetHTTP2(version == 2)
	p.SetUnencryptedHTTP2(version == 2)
	tr := &http.Transport{Protocols: p, TLSClientConfig: r.tls.Clone(), DisableCompression: true, ExpectContinueTimeout: generous}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 2 * generous, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (r *h2Running) url(path string) string { return r.scheme + "://" + r.addr + path }

// frames is a client that speaks in frames.
type frames struct {
	t *testing.T
	net.Conn
	*http2.Framer
	enc   *hpack.Encoder
	block bytes.Buffer
	next  uint32
}

func (r *h2Running) frames(t *testing.T, settings ...http2.Setting) *frames {
	t.Helper()
	nc, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if r.tls != nil {
		cfg := r.tls.Clone()
		cfg.NextProtos = []string{"h2"}
		nc = tls.Client(nc, cfg)
	}
	nc.SetDeadline(time.Now().Add(generous))
	f := &frames{t: t, Conn: nc, Framer: http2.NewFramer(nc, nc), next: 1}
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.enc = hpack.NewEncoder(&f.block)
	io.WriteString(nc, http2.ClientPreface)
	f.WriteSettings(settings...)
	return f
}

// open sends a head, and returns the number of its stream.
func (f *frames) open(end bool, method, path string, header ...string) uint32 {
	f.block.Reset()
	header = append([]string{":method", method, ":scheme", "http", ":path", path, ":authority", "x"}, header...)
	for i := 0; i < len(header); i += 2 {
		f.enc.WriteField(hpack.HeaderField{Name: header[i], Value: header[i+1]})
	}
	id := f.next
	f.next += 2
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.block.Bytes(), EndStream: end, EndHeaders: true}); err != nil {
		f.t.Fatal(err)
	}
	return id
}

// until reads frames until one is wanted, and returns it.
func (f *frames) until(what string, wanted func(http2.Frame) bool) http2.Frame {
	f.t.Helper()
	for {
		fr, err := f.ReadFrame()
		if err != nil {
			f.t.Fatalf("%s: %v", what, err)
		}
		if wanted(fr) {
			return fr
		}
	}
}

func ofType(kind http2.FrameType, id uint32) func(http2.Frame) bool {
	return func(f http2.Frame) bool { return f.Header().Type == kind && f.Header().StreamID == id }
}

// status waits for the head of an answer.
func (f *frames) status(id uint32) string {
	f.t.Helper()
	return f.until("a head", ofType(http2.FrameHeaders, id)).(*http2.MetaHeadersFrame).PseudoValue("status")
}

func (f *frames) reset(id uint32) http2.ErrCode {
	f.t.Helper()
	return f.until("a reset", ofType(http2.FrameRSTStream, id)).(*http2.RSTStreamFrame).ErrCode
}

func (f *frames) goAway() http2.ErrCode {
	f.t.Helper()
	return f.until("a GOAWAY", ofType(http2.FrameGoAway, 0)).(*http2.GoAwayFrame).ErrCode
}

// closed waits for the end of the connection.
func (f *frames) closed() {
	f.t.Helper()
	for {
		if _, err := f.ReadFrame(); err != nil {
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				f.t.Errorf("not closed: %v", err)
			}
			return
		}
	}
}

// answersApp has an answer for each path.
func answersApp(ctx *fasthttp.RequestCtx) {
	switch path := string(ctx.Path()); path {
	case "/echo":
		ctx.Response.Header.Set("X-Type", string(ctx.Request.Header.ContentType()))
		ctx.Write(ctx.PostBody())
	case "/about":
		fmt.Fprintf(ctx, "%s %s %s %s %q %q %v %d %s", ctx.Method(), ctx.URI().FullURI(), ctx.QueryArgs(), ctx.Host(), ctx.Request.Header.Cookie("a"),
			ctx.Request.Header.Cookie("b"), ctx.IsTLS(), ctx.Request.Header.ContentLength(), ctx.UserAgent())
	case "/204":
		ctx.SetStatusCode(204)
	case "/304":
		ctx.Response.Header.Set("Etag", `"x"`)
		ctx.NotModified()
	case "/empty":
	case "/cookies":
		for _, k := range []string{"a", "b"} {
			var c fasthttp.Cookie
			c.SetKey(k)
			c.SetValue("v")
			ctx.Response.Header.SetCookie(&c)
		}
		ctx.Response.Header.Add("X-Many", "1")
		ctx.Response.Header.Add("X-Many", "2")
	case "/redirect":
		ctx.Redirect("/elsewhere", 302)
	case "/large":
		ctx.Write(bytes.Repeat([]byte("0123456789abcdef"), 1<<16))
	case "/stream":
		ctx.SetBodyStream(bytes.NewReader(noise(300_000)), 300_000)
	case "/unknown":
		ctx.SetBodyStream(io.MultiReader(bytes.NewReader(noise(300_000))), -1)
	case "/writer":
		ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
			for i := range 50 {
				fmt.Fprintf(w, "%d,", i)
				w.Flush()
			}
		})
	case "/trailers":
		ctx.Response.Header.SetTrailer("X-Sum")
		ctx.SetBodyStreamWriter(func(w *bufio.Writer) { w.WriteString("body") })
		ctx.Response.Header.Set("X-Sum", "42")
	case "/sent":
		fmt.Fprintf(ctx, "%q %q", ctx.PostBody(), ctx.Request.Header.Peek("X-Sent"))
	case "/form":
		f, err := ctx.MultipartForm()
		if err != nil {
			ctx.Error(err.Error(), 400)
			return
		}
		fmt.Fprint(ctx, f.Value["k"], len(f.File["file"]), f.File["file"][0].Size)
	case "/late":
		fasthttp.TimeoutHandler(func(*fasthttp.RequestCtx) { time.Sleep(20 * time.Millisecond) }, time.Millisecond, "too late")(ctx)
	case "/type":
		ctx.SetContentType("application/x-own")
		ctx.Response.Header.SetServer("own")
		ctx.WriteString("x")
	default:
		ctx.NotFound()
	}
}

func form() (string, string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	w.SetBoundary("bound")
	w.WriteField("k", "v")
	f, _ := w.CreateFormFile("file", "name")
	f.Write(noise(20_000))
	w.Close()
	return b.String(), w.FormDataContentType()
}

// unsized hides how long a body is.
type unsized struct{ io.Reader }

// What a server answers over HTTP/2 is what it answers over HTTP/1.1.
func TestH2AnswersAsHTTP1(t *testing.T) {
	formBody, formType := form()
	servers := []struct {
		name string
		set  func(*fasthttp.Server)
	}{
		{"plain", func(*fasthttp.Server) {}},
		{"streamed", func(fs *fasthttp.Server) { fs.StreamRequestBody = true }},
		{"frugal", func(fs *fasthttp.Server) { fs.ReduceMemoryUsage = true }},
		{"named", func(fs *fasthttp.Server) { fs.Name = "name"; fs.NoDefaultContentType = true }},
		{"nameless", func(fs *fasthttp.Server) { fs.NoDefaultServerHeader, fs.NoDefaultDate = true, true }},
		{"only GET", func(fs *fasthttp.Server) { fs.GetOnly = true }},
		{"small", func(fs *fasthttp.Server) { fs.MaxRequestBodySize = 1000 }},
		{"small, own errors", func(fs *fasthttp.Server) {
			fs.MaxRequestBodySize = 1000
			fs.ErrorHandler = func(ctx *fasthttp.RequestCtx, err error) {
				if errors.Is(err, fasthttp.ErrBodyTooLarge) {
					ctx.Error("too large", 413)
					return
				}
				ctx.Error("own: "+fmt.Sprintf("%T", err), 400)
			}
		}},
		{"by head", func(fs *fasthttp.Server) {
			fs.HeaderReceived = func(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
				return fasthttp.RequestConfig{MaxRequestBodySize: 2000, ReadTimeout: generous, WriteTimeout: generous}
			}
		}},
		{"timeouts", func(fs *fasthttp.Server) {
			fs.ReadTimeout, fs.WriteTimeout, fs.IdleTimeout = generous, generous, generous
		}},
		{"no continue", func(fs *fasthttp.Server) { fs.ContinueHandler = func(*fasthttp.RequestHeader) bool { return false } }},
		{"expectations", func(fs *fasthttp.Server) {
			fs.ExpectHandler = func(ctx *fasthttp.RequestCtx) int {
				if string(ctx.Path()) == "/echo" {
					return 403
				}
				return 100
			}
		}},
	}
	requests := []struct {
		method, path string
		body         func() io.Reader
		header       []string
	}{
		{"GET", "/about?x=y&z", nil, []string{"Cookie", "a=1; b=2"}},
		{"HEAD", "/about", nil, nil},
		{"GET", "/204", nil, nil}, {"GET", "/304", nil, nil}, {"GET", "/empty", nil, nil}, {"GET", "/cookies", nil, nil},
		{"GET", "/redirect", nil, nil}, {"GET", "/large", nil, nil}, {"HEAD", "/large", nil, nil}, {"GET", "/stream", nil, nil}, {"HEAD", "/stream", nil, nil},
		{"GET", "/unknown", nil, nil}, {"HEAD", "/unknown", nil, nil}, {"GET", "/writer", nil, nil}, {"GET", "/trailers", nil, nil}, {"GET", "/late", nil, nil},
		{"GET", "/type", nil, nil}, {"GET", "/nowhere", nil, nil}, {"PURGE", "/about", nil, nil}, {"OPTIONS", "/about", nil, nil},
		{"POST", "/echo", nil, nil},
		{"POST", "/echo", func() io.Reader { return strings.NewReader("short") }, []string{"Content-Type", "a/b"}},
		{"PUT", "/echo", func() io.Reader { return bytes.NewReader(noise(700)) }, []string{"Expect", "100-continue"}},
		{"POST", "/about", func() io.Reader { return bytes.NewReader(noise(700)) }, []string{"Expect", "100-continue"}},
		{"POST", "/echo", func() io.Reader { return bytes.NewReader(noise(1500)) }, nil},
		{"POST", "/echo", func() io.Reader { return bytes.NewReader(noise(600_000)) }, nil},
		{"POST", "/echo", func() io.Reader { return unsized{strings.NewReader("chunks")} }, nil},
		{"POST", "/echo", func() io.Reader { return unsized{bytes.NewReader(noise(600_000))} }, nil},
		{"POST", "/nowhere", func() io.Reader { return bytes.NewReader(noise(600_000)) }, nil},
		{"POST", "/form", func() io.Reader { return strings.NewReader(formBody) }, []string{"Content-Type", formType}},
		{"POST", "/form", func() io.Reader { return unsized{strings.NewReader(formBody)} }, []string{"Content-Type", formType}},
		{"POST", "/form", func() io.Reader { return strings.NewReader("no form") }, []string{"Content-Type", formType}},
		{"GET", "/about", nil, []string{"X-Long", strings.Repeat("x", 5000)}},
		{"GET", "/about", nil, []string{"X-Longer", strings.Repeat("x", 50_000)}},
		{"TRAILERS", "/sent", func() io.Reader { return unsized{strings.NewReader("body")} }, nil},
	}
	for _, srv := range servers {
		t.Run(srv.name, func(t *testing.T) {
			onH2Stacks(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
				fs := &fasthttp.Server{Handler: answersApp}
				srv.set(fs)
				r := start(fs)
				var clients [3]*http.Client
				for v := 1; v <= 2; v++ {
					clients[v] = r.client(t, v)
				}
				for _, rq := range requests {
					var got [3]string
					for v := 1; v <= 2; v++ {
						got[v] = describe(t, clients[v], rq.method, r.url(rq.path), rq.body, rq.header, v)
					}
					if got[1] == "" && strings.HasPrefix(got[2], "4") {
						continue
					}
					if got[1] != got[2] {
						t.Errorf("%s %s %.60q:\nHTTP/1.1 %.600s\nHTTP/2   %.600s", rq.method, rq.path, rq.header, got[1], got[2])
					}
				}
			}, h2Stack)
		})
	}
}

// describe sends a request and tells all of the answer that is not the protocol's.
func describe(t *testing.T, c *http.Client, method, url string, body func() io.Reader, header []string, version int) string {
	t.Helper()
	var b io.Reader
	if body != nil {
		b = body()
	}
	trailers := method == "TRAILERS"
	if trailers {
		method = "POST"
	}
	req, err := http.NewRequestWithContext(context.Background(), method, url, b)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "me")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if trailers {
		req.Trailer = http.Header{"X-Sent": {"afterwards"}}
	}
	// A server may answer and not read what it is still sent: over HTTP/1.1 that is a
	// broken connection, for who is unlucky. A head that is refused can be sent again.
	resp, err := c.Do(req)
	for tries := 1; err != nil && tries < 5 && version == 1 && body == nil && len(strings.Join(header, "")) > 4096; tries++ {
		resp, err = c.Do(req)
	}
	if err != nil {
		if version == 1 && body != nil {
			return ""
		}
		t.Fatalf("%s %s over HTTP/%d: %v", method, url, version, err)
	}
	defer resp.Body.Close()
	expect(t, "protocol", resp.ProtoMajor, version)
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%s %s over HTTP/%d: body: %v", method, url, version, err)
	}
	var fields []string
	for k, vv := range resp.Header {
		switch k {
		case "Date":
			vv = []string{"some"}
		case "Connection", "Trailer":
			continue
		}
		fields = append(fields, fmt.Sprint(k, vv))
	}
	slices.Sort(fields)
	return fmt.Sprintf("%d %v %d %v %d %.300q", resp.StatusCode, fields, resp.ContentLength, resp.Trailer, len(got), got)
}
