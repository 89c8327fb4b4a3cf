//go:build linux && (amd64 || arm64)

package server_test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// program finds a program, or skips; the test fails where ESCA_REQUIRE names it.
func program(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if strings.Contains(","+os.Getenv("ESCA_REQUIRE")+",", ","+names[0]+",") {
		t.Fatalf("%s is not installed, and ESCA_REQUIRE names it", names[0])
	}
	t.Skipf("%s is not installed", names[0])
	return ""
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// Clients of other makes.
func TestH2Programs(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		r := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			switch string(ctx.Path()) {
			case "/echo":
				ctx.Write(ctx.PostBody())
			case "/large":
				ctx.Write(body)
			case "/page":
				ctx.SetContentType("text/html")
				ctx.WriteString(`<html><body><p id=p></p><script src="/script"></script></body></html>`)
			case "/script":
				ctx.SetContentType("text/javascript")
				ctx.WriteString(`document.getElementById("p").textContent = "from " + performance.getEntriesByType("navigation")[0].nextHopProtocol`)
			default:
				ctx.WriteString("hello")
			}
		}})
		t.Run("curl", func(t *testing.T) {
			curl := program(t, "curl")
			version := "--http2"
			if r.tls == nil {
				version = "--http2-prior-knowledge"
			}
			got := run(t, curl, "-sSk", version, "-w", " %{http_version} %{http_code}", r.url("/"))
			expect(t, "answer", got, "hello 2 200")
			file := t.TempDir() + "/file"
			if err := os.WriteFile(file, body, 0o600); err != nil {
				t.Fatal(err)
			}
			expect(t, "echo", run(t, curl, "-sSk", version, "-T", file, r.url("/echo")), string(body))
			expect(t, "echo of a form", run(t, curl, "-sSk", version, "-d", "a=b", r.url("/echo")), "a=b")
			if r.tls == nil {
				return // curl 7.88 fails with parallel streams in the clear, whoever serves them
			}
			expect(t, "parallel", strings.Count(run(t, curl, "-sSkZ", version, r.url("/[1-50]")), "hello"), 50)
		})
		t.Run("nghttp", func(t *testing.T) {
			nghttp := program(t, "nghttp")
			expect(t, "answer", run(t, nghttp, "--no-verify-peer", r.url("/large")), string(body))
			got := run(t, nghttp, "--no-verify-peer", "-nv", "-m20", "-w10", r.url("/large"))
			if n := len(regexp.MustCompile(`:status: 200`).FindAllString(got, -1)); n != 20 {
				t.Errorf("%d answers to 20 requests", n)
			}
		})
		t.Run("h2load", func(t *testing.T) {
			h2load := program(t, "h2load")
			for _, args := range [][]string{{"-n2000", "-c10", "-m20", r.url("/")}, {"-n200", "-c2", "-m10", "-w12", r.url("/large")}} {
				if got := run(t, h2load, args...); !strings.Contains(got, " 0 failed, 0 errored, 0 timeout") {
					t.Errorf("%s", got)
				}
			}
		})
		t.Run("chromium", func(t *testing.T) {
			if r.tls == nil {
				t.Skip("browsers speak HTTP/2 over TLS only")
			}
			chromium := program(t, "chromium", "chromium-browser", "google-chrome")
			got := run(t, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--user-data-dir="+t.TempDir(), "--dump-dom", r.url("/page"))
			if !strings.Contains(got, "from h2") {
				t.Errorf("%s", got)
			}
		})
	})
}
