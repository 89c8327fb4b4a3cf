package static

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// site is a server of a directory, on fasthttp's own runtime or on loops.
type site struct {
	dir, addr string
	h         *Handler
}

// onBoth runs test on both runtimes.
func onBoth(t *testing.T, o Options, test func(t *testing.T, s *site)) {
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
			h, err := New(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			ln, err := rt.ln()
			if err != nil {
				t.Fatal(err)
			}
			fs := &fasthttp.Server{Handler: h.Serve, Name: "esca"}
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

func TestFilesOfAllSizes(t *testing.T) {
	onBoth(t, Options{}, func(t *testing.T, s *site) {
		for _, n := range []int{0, 1, 1024, smallFile - 1, smallFile, smallFile + 1, 200 << 10, 3 << 20} {
			name := fmt.Sprintf("f%d.bin", n)
			want := pattern(n)
			s.write(t, name, want)
			for range 3 { // read in, then twice from the cache
				resp, b := s.do(t, "GET", "/"+name)
				if resp.StatusCode != 200 || !bytes.Equal(b, want) || resp.ContentLength != int64(n) {
					t.Fatalf("%s: %s, %d bytes", name, resp.Status, len(b))
				}
				for _, h := range []string{"ETag", "Last-Modified", "Accept-Ranges"} {
					if resp.Header.Get(h) == "" {
						t.Errorf("%s: no %s", name, h)
					}
				}
				head, b := s.do(t, "HEAD", "/"+name)
				if head.StatusCode != 200 || len(b) != 0 || head.ContentLength != int64(n) || head.Header.Get("ETag") != resp.Header.Get("ETag") {
					t.Fatalf("HEAD %s: %s, length %d, %q", name, head.Status, head.ContentLength, b)
				}
			}
		}
	})
}

func TestAnswers(t *testing.T) {
	onBoth(t, Options{}, func(t *testing.T, s *site) {
		for _, name := range []string{"index.html", "a.css", "dir/index.html", "dir/x y.txt", "empty/none.txt", "noext", ".hidden", "odd/index.html/x"} {
			s.write(t, name, []byte(name))
		}
		big := pattern(100_000)
		s.write(t, "big.bin", big)
		etag := func(path string) string { r, _ := s.do(t, "HEAD", path); return r.Header.Get("ETag") }
		modified := func(path string) string { r, _ := s.do(t, "HEAD", path); return r.Header.Get("Last-Modified") }
		const past, future = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
		for _, tt := range []struct {
			name, method, path string
			header             []string
			status             int
			body               string // "*": any
			want               []string
		}{
			{"index", "GET", "/", nil, 200, "index.html", []string{"Content-Type", "text/html; charset=utf-8"}},
			{"type", "GET", "/a.css", nil, 200, "a.css", []string{"Content-Type", "text/css; charset=utf-8"}},
			{"unknown type", "GET", "/noext", nil, 200, "noext", []string{"Content-Type", "application/octet-stream"}},
			{"escaped", "GET", "/dir/x%20y.txt", nil, 200, "dir/x y.txt", nil},
			{"query", "GET", "/a.css?v=1", nil, 200, "a.css", nil},
			{"directory", "GET", "/dir", nil, 301, "*", []string{"Location", "/dir/"}},
			{"directory, query kept", "GET", "/dir?a=b", nil, 301, "*", []string{"Location", "/dir/?a=b"}},
			{"its index", "GET", "/dir/", nil, 200, "dir/index.html", nil},
			{"no index", "GET", "/empty/", nil, 404, "*", nil},
			{"index is a directory", "GET", "/odd/", nil, 404, "*", nil},
			{"absent", "GET", "/nope", nil, 404, "*", nil},
			{"file as directory", "GET", "/a.css/", nil, 404, "*", nil},
			{"file as directory, deeper", "GET", "/a.css/b", nil, 404, "*", nil},
			{"post", "POST", "/a.css", nil, 405, "*", []string{"Allow", "GET, HEAD"}},
			{"delete", "DELETE", "/", nil, 405, "*", []string{"Allow", "GET, HEAD"}},

			{"none match", "GET", "/a.css", []string{"If-None-Match", etag("/a.css")}, 304, "", []string{"ETag", etag("/a.css")}},
			{"none match, list", "GET", "/a.css", []string{"If-None-Match", `"x", W/` + etag("/a.css")}, 304, "", nil},
			{"none match, star", "GET", "/a.css", []string{"If-None-Match", "*"}, 304, "", nil},
			{"none match, star in a second line", "GET", "/a.css", []string{"If-None-Match", `"x"`, "If-None-Match", "*"}, 304, "", nil},
			{"match, in a second line", "GET", "/a.css", []string{"If-Match", `"x"`, "If-Match", etag("/a.css")}, 200, "a.css", nil},
			{"none match, other", "GET", "/a.css", []string{"If-None-Match", `"x"`, "If-Modified-Since", future}, 200, "a.css", nil},
			{"not modified", "GET", "/a.css", []string{"If-Modified-Since", modified("/a.css")}, 304, "", nil},
			{"modified", "GET", "/a.css", []string{"If-Modified-Since", past}, 200, "a.css", nil},
			{"nonsense date", "GET", "/a.css", []string{"If-Modified-Since", "yesterday"}, 200, "a.css", nil},
			{"match", "GET", "/a.css", []string{"If-Match", etag("/a.css")}, 200, "a.css", nil},
			{"match, weak does not", "GET", "/a.css", []string{"If-Match", "W/" + etag("/a.css")}, 412, "*", nil},
			{"match, other", "GET", "/a.css", []string{"If-Match", `"x"`}, 412, "*", []string{"ETag", "", "Last-Modified", ""}},
			{"unmodified since", "GET", "/a.css", []string{"If-Unmodified-Since", past}, 412, "*", nil},
			{"unmodified since, is", "GET", "/a.css", []string{"If-Unmodified-Since", future}, 200, "a.css", nil},

			{"range", "GET", "/big.bin", []string{"Range", "bytes=10-19"}, 206, string(big[10:20]), []string{"Content-Range", "bytes 10-19/100000"}},
			{"range, small", "GET", "/a.css", []string{"Range", "bytes=1-2"}, 206, ".c", []string{"Content-Range", "bytes 1-2/5"}},
			{"range, open", "GET", "/big.bin", []string{"Range", "bytes=99990-"}, 206, string(big[99990:]), nil},
			{"range, last", "GET", "/big.bin", []string{"Range", "bytes=-5"}, 206, string(big[99995:]), nil},
			{"range, last of more", "GET", "/a.css", []string{"Range", "bytes=-500"}, 206, "a.css", nil},
			{"range, beyond", "GET", "/a.css", []string{"Range", "bytes=3-999999999999999999999"}, 206, "ss", []string{"Content-Range", "bytes 3-4/5"}},
			{"range, none", "GET", "/a.css", []string{"Range", "bytes=5-"}, 416, "*", []string{"Content-Range", "bytes */5", "ETag", "", "Last-Modified", ""}},
			{"range, empty list", "GET", "/a.css", []string{"Range", "bytes="}, 200, "a.css", nil},
			{"range, empty elements", "GET", "/a.css", []string{"Range", "bytes=, ,"}, 200, "a.css", nil},
			{"range, nothing", "GET", "/a.css", []string{"Range", "bytes=-0"}, 416, "*", []string{"Content-Range", "bytes */5"}},
			{"range, reversed", "GET", "/a.css", []string{"Range", "bytes=3-1"}, 200, "a.css", nil},
			{"range, nonsense", "GET", "/a.css", []string{"Range", "bytes=a-b"}, 200, "a.css", nil},
			{"range, other unit", "GET", "/a.css", []string{"Range", "lines=1-2"}, 200, "a.css", nil},
			{"range, too many", "GET", "/big.bin", []string{"Range", "bytes=" + strings.Repeat("0-0,", 40) + "0-0"}, 200, string(big), nil},
			{"range, overlapping", "GET", "/a.css", []string{"Range", "bytes=0-,0-"}, 200, "a.css", nil},
			{"range on HEAD", "HEAD", "/a.css", []string{"Range", "bytes=1-2"}, 200, "", nil},
			{"if-range", "GET", "/a.css", []string{"Range", "bytes=0-0", "If-Range", etag("/a.css")}, 206, "a", nil},
			{"if-range, other", "GET", "/a.css", []string{"Range", "bytes=0-0", "If-Range", `"x"`}, 200, "a.css", nil},
			{"if-range, weak", "GET", "/a.css", []string{"Range", "bytes=0-0", "If-Range", "W/" + etag("/a.css")}, 200, "a.css", nil},
			{"if-range, date", "GET", "/a.css", []string{"Range", "bytes=0-0", "If-Range", modified("/a.css")}, 206, "a", nil},
			{"if-range, later date", "GET", "/a.css", []string{"Range", "bytes=0-0", "If-Range", future}, 200, "a.css", nil},
		} {
			resp, b := s.do(t, tt.method, tt.path, tt.header...)
			if resp.StatusCode != tt.status || tt.body != "*" && string(b) != tt.body {
				t.Errorf("%s: %s %.60q, want %d %.60q", tt.name, resp.Status, b, tt.status, tt.body)
			}
			for i := 0; i < len(tt.want); i += 2 {
				if got := resp.Header.Get(tt.want[i]); got != tt.want[i+1] {
					t.Errorf("%s: %s: %q, want %q", tt.name, tt.want[i], got, tt.want[i+1])
				}
			}
		}
	})
}

func TestSeveralRanges(t *testing.T) {
	onBoth(t, Options{}, func(t *testing.T, s *site) {
		for _, size := range []int{1000, 200_000} {
			content := pattern(size)
			s.write(t, "f.bin", content)
			resp, b := s.do(t, "GET", "/f.bin", "Range", "bytes=0-9, 500-599 ,-1")
			_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
			if resp.StatusCode != 206 || err != nil || resp.ContentLength != int64(len(b)) {
				t.Fatalf("%s %v %v", resp.Status, resp.Header, err)
			}
			r := multipart.NewReader(bytes.NewReader(b), params["boundary"])
			for _, want := range []span{{0, 10}, {500, 600}, {int64(size) - 1, int64(size)}} {
				p, err := r.NextPart()
				if err != nil {
					t.Fatal(err)
				}
				got, _ := io.ReadAll(p)
				cr := string(appendContentRange(nil, &want, int64(size)))
				if !bytes.Equal(got, content[want.from:want.to]) || p.Header.Get("Content-Range") != cr {
					t.Errorf("%v: %q %q", want, p.Header, got)
				}
			}
			if _, err := r.NextPart(); err != io.EOF {
				t.Errorf("after the last part: %v", err)
			}
			s.h.cache.mu.Lock()
			s.h.cache.dropLocked("f.bin")
			s.h.cache.mu.Unlock()
		}
	})
}

func TestNothingOutsideTheRoot(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret.txt")
	if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	onBoth(t, Options{}, func(t *testing.T, s *site) {
		s.write(t, "in.txt", []byte("inside"))
		s.write(t, "sub/in.txt", []byte("inside"))
		for link, to := range map[string]string{
			"abs.txt": outside, "up": "..", "rel.txt": "../" + filepath.Base(filepath.Dir(outside)) + "/secret.txt",
			"loop": "loop", "sub/up2": "../..", "good.txt": "sub/in.txt", "dirout": filepath.Dir(outside),
		} {
			if err := os.Symlink(to, filepath.Join(s.dir, link)); err != nil {
				t.Fatal(err)
			}
		}
		if err := syscall.Mkfifo(filepath.Join(s.dir, "fifo"), 0o644); err != nil {
			t.Fatal(err)
		}
		sock, err := net.Listen("unix", filepath.Join(s.dir, "sock"))
		if err != nil {
			t.Fatal(err)
		}
		defer sock.Close()
		if r, b := s.raw(t, "GET /good.txt HTTP/1.1\r\nHost: x\r\n\r\n"); r.StatusCode != 200 || string(b) != "inside" {
			t.Errorf("a link within the root: %s %q", r.Status, b)
		}
		name := filepath.Base(filepath.Dir(outside)) + "/secret.txt"
		for _, path := range []string{
			"/abs.txt", "/rel.txt", "/dirout/secret.txt", "/up/" + name, "/sub/up2/" + name, "/loop", "/fifo", "/sock",
			"/../" + name, "/sub/../../" + name, "/%2e%2e/" + name, "/..%2f" + name, "/%2e%2e%2f" + name,
			"/..%5c" + name, `/..\` + name, "/sub/..%2f..%2f" + name, "/in.txt%00.html", "/%00", "/..", "/.../" + name,
			"//" + outside, outside, "/./" + outside, "/%252e%252e/" + name, "/..;/" + name, "/" + strings.Repeat("a", 300),
			"/" + strings.Repeat("a/", 2000) + "b", "/\xc0\xae\xc0\xae/" + name,
		} {
			resp, b := s.raw(t, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
			if resp.StatusCode < 400 || resp.StatusCode >= 500 || bytes.Contains(b, []byte("secret")) {
				t.Errorf("%.80q: %s %.80q", path, resp.Status, b)
			}
		}
		// A redirect must stay here.
		for _, path := range []string{"//sub", "/sub", "/./sub", "//evil.example/..//sub", "/%2f/sub"} {
			resp, _ := s.raw(t, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
			if to := resp.Header.Get("Location"); resp.StatusCode != 301 || to != "/sub/" {
				t.Errorf("%s: %s to %q", path, resp.Status, to)
			}
		}
	})
}

func TestChangesAreNoticed(t *testing.T) {
	onBoth(t, Options{Revalidate: -1}, func(t *testing.T, s *site) {
		for _, size := range []int{100, 300_000} {
			old, fresh := bytes.Repeat([]byte("o"), size), bytes.Repeat([]byte("n"), size)
			for _, change := range []struct {
				name string
				do   func()
				want []byte // nil: 404
			}{
				{"written over", func() {
					s.write(t, "f", fresh)
					later := time.Now().Add(time.Hour)
					os.Chtimes(filepath.Join(s.dir, "f"), later, later)
				}, fresh},
				{"replaced", func() {
					s.write(t, "g", fresh)
					os.Rename(filepath.Join(s.dir, "g"), filepath.Join(s.dir, "f"))
				}, fresh},
				{"grown", func() { s.write(t, "f", append(append([]byte{}, old...), 'x')) }, append(append([]byte{}, old...), 'x')},
				{"truncated", func() { os.Truncate(filepath.Join(s.dir, "f"), 10) }, old[:10]},
				{"removed", func() { os.Remove(filepath.Join(s.dir, "f")) }, nil},
				{"a directory", func() { os.Remove(filepath.Join(s.dir, "f")); os.Mkdir(filepath.Join(s.dir, "f"), 0o755) }, nil},
			} {
				os.RemoveAll(filepath.Join(s.dir, "f"))
				s.write(t, "f", old)
				before, b := s.do(t, "GET", "/f")
				if !bytes.Equal(b, old) {
					t.Fatalf("%s: before: %s %d bytes", change.name, before.Status, len(b))
				}
				change.do()
				after, b := s.do(t, "GET", "/f")
				if change.want == nil {
					if after.StatusCode == 200 {
						t.Errorf("%s: still %s", change.name, after.Status)
					}
				} else if !bytes.Equal(b, change.want) || after.Header.Get("ETag") == before.Header.Get("ETag") {
					t.Errorf("%s: %s, %d bytes, tag %s and before %s", change.name, after.Status, len(b), after.Header.Get("ETag"), before.Header.Get("ETag"))
				}
			}
			os.RemoveAll(filepath.Join(s.dir, "f"))
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	dir := t.TempDir()
	h, err := New(dir, Options{CacheBytes: 100 << 10, OpenFiles: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	s := &site{dir: dir, h: h}
	files := openFiles(t)
	for i := range 200 {
		small, large := fmt.Sprintf("s%d", i), fmt.Sprintf("l%d", i)
		s.write(t, small, pattern(5000))
		s.write(t, large, pattern(smallFile+1))
		for _, name := range []string{small, large} {
			f, err := h.cache.get([]byte(name), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			f.release()
		}
		if c := h.cache; c.bytes > 100<<10 || c.open > 4 {
			t.Fatalf("after %d files the cache has %d bytes and %d open", i, c.bytes, c.open)
		}
	}
	if now := openFiles(t); now > files+4 {
		t.Errorf("%d files are open, and were %d before", now, files)
	}
}

func openFiles(t *testing.T) int {
	e, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("counting descriptors needs /proc")
	}
	return len(e)
}

func TestNoAllocationOnACacheHit(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f.txt"), pattern(1024), 0o644); err != nil {
		t.Fatal(err)
	}
	h, err := New(dir, Options{Revalidate: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	var ctx fasthttp.RequestCtx
	var req fasthttp.Request
	req.SetRequestURI("/f.txt")
	ctx.Init(&req, nil, nil)
	n := testing.AllocsPerRun(1000, func() {
		ctx.Response.Reset()
		h.Serve(&ctx)
		if ctx.Response.StatusCode() != 200 {
			t.Fatal(ctx.Response.StatusCode())
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWelcomeStyleFS(t *testing.T) {
	h, err := NewFS(os.DirFS(makeTree(t)), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/": 200, "/a/b.txt": 200, "/a": 301, "/a/": 404, "/x": 404} {
		var ctx fasthttp.RequestCtx
		var req fasthttp.Request
		req.SetRequestURI(path)
		ctx.Init(&req, nil, nil)
		if h.Serve(&ctx); ctx.Response.StatusCode() != want {
			t.Errorf("%s: %d, want %d", path, ctx.Response.StatusCode(), want)
		}
	}
}

func makeTree(t *testing.T) string {
	s := &site{dir: t.TempDir()}
	s.write(t, "index.html", []byte("hello"))
	s.write(t, "a/b.txt", []byte("b"))
	return s.dir
}

func FuzzParseRanges(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=-5", "bytes=5-", "bytes=1-2,3-4", "bytes=9999999999999999999999-", "bytes=,", "x"} {
		f.Add([]byte(s), int64(100))
	}
	f.Fuzz(func(t *testing.T, header []byte, size int64) {
		if size < 0 {
			return
		}
		parts, _ := parseRanges(header, size)
		total := int64(0)
		for _, p := range parts {
			if p.from < 0 || p.from >= p.to || p.to > size {
				t.Fatalf("%q of %d: %v", header, size, p)
			}
			total += p.len()
		}
		if total > size || len(parts) > maxRanges {
			t.Fatalf("%q of %d: %v", header, size, parts)
		}
	})
}

func FuzzPath(f *testing.F) {
	dir := f.TempDir()
	root, secret := filepath.Join(dir, "root"), filepath.Join(dir, "secret")
	os.Mkdir(root, 0o755)
	os.WriteFile(secret, []byte("secret"), 0o644)
	os.WriteFile(filepath.Join(root, "f"), []byte("inside"), 0o644)
	os.Symlink(secret, filepath.Join(root, "link"))
	h, err := New(root, Options{Revalidate: -1})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"/f", "/../secret", "/link", "/%2e%2e/secret", "/..%5csecret", "//f", "/f/../../secret"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		var ctx fasthttp.RequestCtx
		var req fasthttp.Request
		req.Header.SetRequestURI(path)
		ctx.Init(&req, nil, nil)
		h.Serve(&ctx)
		if bytes.Contains(ctx.Response.Body(), []byte("secret")) {
			t.Fatalf("%q gives what is outside", path)
		}
	})
}
