//go:build unix

package http1

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

func TestNothingOutsideTheRoot(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret.txt")
	if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	onBoth(t, static.Options{}, func(t *testing.T, s *site) {
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

func FuzzPath(f *testing.F) {
	dir := f.TempDir()
	root, secret := filepath.Join(dir, "root"), filepath.Join(dir, "secret")
	os.Mkdir(root, 0o755)
	os.WriteFile(secret, []byte("secret"), 0o644)
	os.WriteFile(filepath.Join(root, "f"), []byte("inside"), 0o644)
	os.Symlink(secret, filepath.Join(root, "link"))
	h, err := static.New(root, static.Options{Revalidate: -1})
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
		(&End{Core: h}).Serve(&ctx)
		if bytes.Contains(ctx.Response.Body(), []byte("secret")) {
			t.Fatalf("%q gives what is outside", path)
		}
	})
}
