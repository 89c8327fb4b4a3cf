//go:build unix

package http1

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/cmd/escahttp/internal/static"
	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// site is a server of a directory, on fasthttp's own runtime or on loops.
type site struct {
	dir, addr string
	h         *static.Handler
}

// onBoth runs test on both runtimes.
func onBoth(t *testing.T, o static.Options, test func(t *testing.T, s *site)) {
	for _, rt := range []struct {
		name  string
		serve func(*fasthttp.Server, net.Listener) error
		ln    func() (net.Listener, error)
	}{
		{"fasthttp", func(fs *fasthttp.Server, ln net.Listener) error { return fs.Serve(ln) },
			func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }},
		{"esca", func(fs *fasthttp.Server, ln net.Listener) error { return server.New(fs).Serve(ln) },
			func() (net.Listener, error) { return conn.Listen("tcp", "127.0.0.1:0", conn.WithLoops(1)) }},
	} {
		t.Run(rt.name, func(t *testing.T) {
			dir := t.TempDir()
			h, err := static.New(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			ln, err := rt.ln()
			if err != nil {
				t.Fatal(err)
			}
			end := &End{Core: h}
			fs := &fasthttp.Server{Handler: end.Serve, ErrorHandler: end.Error, ExpectHandler: end.Expect, Name: "esca", ReadBufferSize: 16 << 10, MaxRequestBodySize: 64 << 10}
			done := make(chan error, 1)
			go func() { done <- rt.serve(fs, ln) }()
			t.Cleanup(func() {
				http.DefaultClient.CloseIdleConnections()
				if err := fs.Shutdown(); err != nil {
					t.Error(err)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
				h.Close()
			})
			test(t, &site{dir, ln.Addr().String(), h})
		})
	}
}

func (s *site) write(t *testing.T, name string, content []byte) {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// do sends one request and reads the answer. header is pairs.
func (s *site) do(t *testing.T, method, path string, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+s.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

// raw sends bytes as they are and reads one answer.
func (s *site) raw(t *testing.T, request string) (*http.Response, []byte) {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, request)
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	b, _ := io.ReadAll(resp.Body)
	return resp, b
}

// pattern is n bytes of which no two stretches are alike.
func pattern(n int) []byte {
	b := make([]byte, 0, n+8)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "%07x ", i)
	}
	return b[:n]
}

// settled waits until path has an entity tag: a change in the same tick of the
// clock could not be told from the one before, and so a large file has none that
// was written just now.
func (s *site) settled(t *testing.T, path string) string {
	t.Helper()
	tag := ""
	eventually(t, path+" has a tag", func() bool {
		r, _ := s.do(t, "HEAD", path)
		tag = r.Header.Get("ETag")
		return tag != ""
	})
	return tag
}

// eventually waits until ok, looking again and again.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come about that %s", what)
		}
	}
}
