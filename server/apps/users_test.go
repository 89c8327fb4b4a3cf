//go:build linux && (amd64 || arm64)

package apps_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/compress"
	"github.com/gofiber/fiber/v2/middleware/cors"
	"github.com/gofiber/fiber/v2/middleware/recover"
	"github.com/valyala/fasthttp"
)

// request sends one and returns the answer's status, body and headers.
func request(t *testing.T, c *http.Client, method, url, contentType string, body io.Reader) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

func newClient(t *testing.T, cfg *tls.Config) *http.Client {
	tr := &http.Transport{TLSClientConfig: cfg, MaxIdleConnsPerHost: 64}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

func TestFiber(t *testing.T) {
	dir := t.TempDir()
	static := bytes.Repeat([]byte("static file\n"), 20_000)
	if err := os.WriteFile(filepath.Join(dir, "file.txt"), static, 0o644); err != nil {
		t.Fatal(err)
	}
	onAll(t, func(t *testing.T, start func(*fasthttp.Server) *running) {
		app := fiber.New(fiber.Config{DisableStartupMessage: true, ErrorHandler: func(c *fiber.Ctx, err error) error {
			return c.Status(500).SendString("handled: " + err.Error())
		}})
		var mu sync.Mutex
		var seen []string
		app.Use(recover.New(), cors.New(), func(c *fiber.Ctx) error {
			mu.Lock()
			seen = append(seen, c.Method()+" "+c.Path())
			mu.Unlock()
			return c.Next()
		})
		app.Get("/hello/:name", func(c *fiber.Ctx) error { return c.SendString("hello " + c.Params("name") + c.Query("q")) })
		app.Post("/json", func(c *fiber.Ctx) error {
			var v struct{ A int }
			if err := c.BodyParser(&v); err != nil {
				return err
			}
			return c.JSON(fiber.Map{"twice": v.A * 2})
		})
		app.Get("/error", func(*fiber.Ctx) error { return errors.New("on purpose") })
		app.Get("/panic", func(*fiber.Ctx) error { panic("on purpose, too") })
		app.Get("/compressed", compress.New(), func(c *fiber.Ctx) error { return c.SendString(strings.Repeat("squeeze me ", 1000)) })
		app.Static("/static", dir)
		app.Get("/stream", func(c *fiber.Ctx) error {
			c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
				for i := range 100 {
					fmt.Fprintf(w, "line %d\n", i)
					w.Flush()
				}
			})
			return nil
		})
		app.Post("/upload", func(c *fiber.Ctx) error {
			f, err := c.FormFile("file")
			if err != nil {
				return err
			}
			return c.SendString(fmt.Sprint(f.Filename, " ", f.Size))
		})
		app.Handler() // builds what Listen would
		r := start(app.Server())
		c, url := newClient(t, nil), "http://"+r.addr
		rounds := 3
		if r.h2 {
			rounds = 6
		}
		for round := range rounds {
			if round == 3 { // from here on over HTTP/2
				p := new(http.Protocols)
				p.SetUnencryptedHTTP2(true)
				c.Transport.(*http.Transport).CloseIdleConnections()
				c.Transport = &http.Transport{Protocols: p}
			}
			for path, want := range map[string]string{
				"/hello/you?q=!": "hello you!", "/error": "handled: on purpose", "/panic": "handled: on purpose, too",
				"/compressed": strings.Repeat("squeeze me ", 1000), "/static/file.txt": string(static),
			} {
				if _, b, _ := request(t, c, "GET", url+path, "", nil); b != want {
					t.Errorf("%s: %.80q", path, b)
				}
			}
			var lines strings.Builder
			for i := range 100 {
				fmt.Fprintf(&lines, "line %d\n", i)
			}
			if _, b, _ := request(t, c, "GET", url+"/stream", "", nil); b != lines.String() {
				t.Errorf("stream: %.80q", b)
			}
			if _, b, _ := request(t, c, "POST", url+"/json", "application/json", strings.NewReader(`{"a":21}`)); b != `{"twice":42}` {
				t.Errorf("json: %q", b)
			}
			var form bytes.Buffer
			w := multipart.NewWriter(&form)
			part, _ := w.CreateFormFile("file", "name.bin")
			part.Write(static)
			w.Close()
			if _, b, _ := request(t, c, "POST", url+"/upload", w.FormDataContentType(), &form); b != fmt.Sprint("name.bin ", len(static)) {
				t.Errorf("upload: %q", b)
			}
			if status, _, _ := request(t, c, "GET", url+"/none", "", nil); status != 500 {
				t.Errorf("no route: %d", status)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if len(seen) != rounds*9 {
			t.Errorf("the middleware has seen %d requests: %q", len(seen), seen)
		}
	})
}

func TestWebsocket(t *testing.T) {
	onAll(t, func(t *testing.T, start func(*fasthttp.Server) *running) {
		up := websocket.FastHTTPUpgrader{}
		ended := make(chan error, 100)
		r := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			err := up.Upgrade(ctx, func(ws *websocket.Conn) {
				defer ws.Close()
				var mu sync.Mutex
				var wg sync.WaitGroup
				wg.Go(func() { // pushes from a goroutine of its own
					for i := range 10 {
						mu.Lock()
						ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, "push %d", i))
						mu.Unlock()
					}
				})
				wg.Wait()
				for {
					kind, b, err := ws.ReadMessage()
					if err != nil {
						ended <- err
						return
					}
					mu.Lock()
					ws.WriteMessage(kind, b)
					mu.Unlock()
				}
			})
			if err != nil {
				t.Error(err)
			}
		}})
		const clients = 32
		var wg sync.WaitGroup
		for id := range clients {
			wg.Go(func() {
				ws, _, err := websocket.DefaultDialer.Dial("ws://"+r.addr+"/", nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer ws.Close()
				for i := range 10 {
					if _, b, err := ws.ReadMessage(); err != nil || string(b) != fmt.Sprint("push ", i) {
						t.Errorf("%q, %v", b, err)
						return
					}
				}
				for i, n := range []int{0, 1, 125, 126, 65_535, 65_536, 1 << 20} {
					kind := websocket.TextMessage + i%2
					msg := bytes.Repeat([]byte{byte('a' + id%26)}, n)
					ws.WriteControl(websocket.PingMessage, []byte("ping"), time.Time{})
					if err := ws.WriteMessage(kind, msg); err != nil {
						t.Error(err)
						return
					}
					k, b, err := ws.ReadMessage()
					if err != nil || k != kind || !bytes.Equal(b, msg) {
						t.Errorf("%d bytes: kind %d, %d bytes, %v", n, k, len(b), err)
						return
					}
				}
				ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4321, "enough"))
				if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, 4321) {
					t.Errorf("close: %v", err)
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		for range clients {
			if err := <-ended; !websocket.IsCloseError(err, 4321) {
				t.Errorf("the server has seen %v", err)
			}
		}
	})
}

func TestClientCertificates(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	onAll(t, func(t *testing.T, start func(*fasthttp.Server) *running) {
		idle := make(chan struct{}, 1000)
		r := start(&fasthttp.Server{
			Logger:    quiet{},
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "server")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool},
			Handler: func(ctx *fasthttp.RequestCtx) {
				st := ctx.TLSConnectionState()
				if st == nil || !ctx.IsTLS() {
					ctx.Error("no TLS", 500)
					return
				}
				ctx.Response.Header.Set("Client", st.PeerCertificates[0].Subject.CommonName)
				ctx.Response.Header.Set("Conn", fmt.Sprint(ctx.ConnID(), " ", ctx.ConnRequestNum()))
				ctx.SetBody(ctx.PostBody())
			},
			ConnState: func(_ net.Conn, s fasthttp.ConnState) {
				if s == fasthttp.StateIdle {
					idle <- struct{}{}
				}
			},
		})
		c := newClient(t, &tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{ca.issue(t, "alice")}})
		first := ""
		for i, n := range []int{0, 1, 100, 5000, 20_000, 1 << 20, 4 << 20, 3} {
			body := strings.Repeat("x", n)
			_, b, h := request(t, c, "POST", "https://"+r.addr+"/", "", strings.NewReader(body))
			if b != body || h.Get("Client") != "alice" {
				t.Fatalf("%d bytes: got %d, %v", n, len(b), h)
			}
			<-idle // the next request comes to an idle connection
			var id, num uint64
			fmt.Sscan(h.Get("Conn"), &id, &num)
			if first == "" {
				first = fmt.Sprint(id)
			}
			if fmt.Sprint(id) != first || num != uint64(i+1) {
				t.Errorf("request %d is number %d of connection %d, the first was of %s", i, num, id, first)
			}
		}
		for name, cfg := range map[string]*tls.Config{
			"no certificate":     {RootCAs: ca.pool},
			"of somebody else":   {RootCAs: ca.pool, Certificates: []tls.Certificate{other.issue(t, "mallory")}},
			"server not trusted": {RootCAs: other.pool, Certificates: []tls.Certificate{ca.issue(t, "alice")}},
		} {
			if resp, err := newClient(t, cfg).Get("https://" + r.addr + "/"); err == nil {
				t.Errorf("%s: %s", name, resp.Status)
			}
		}
	})
}

func TestServerSentEvents(t *testing.T) {
	onAll(t, func(t *testing.T, start func(*fasthttp.Server) *running) {
		next, ended := make(chan int), make(chan error, 1)
		r := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetContentType("text/event-stream")
			ctx.Response.ImmediateHeaderFlush = true
			ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
				for i := range next {
					fmt.Fprintf(w, "data: %d\n\n", i)
					if err := w.Flush(); err != nil {
						ended <- err
						return
					}
				}
				ended <- nil
			})
		}})
		c := newClient(t, nil)
		resp, err := c.Get("http://" + r.addr + "/")
		if err != nil {
			t.Fatal(err)
		}
		br := bufio.NewReader(resp.Body)
		for i := range 20 { // each arrives before the next is produced
			next <- i
			line, err := br.ReadString('\n')
			if err != nil || line != fmt.Sprintf("data: %d\n", i) {
				t.Fatalf("%q, %v", line, err)
			}
			br.ReadString('\n')
		}
		resp.Body.Close() // the client goes away, and the writer learns it
		for {
			select {
			case next <- 0:
				continue
			case err := <-ended:
				if err == nil {
					t.Error("the writer has not learnt that the client is gone")
				}
			}
			break
		}
	})
}
