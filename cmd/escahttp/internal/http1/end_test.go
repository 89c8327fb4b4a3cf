//go:build unix

package http1

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

func TestNoAllocationOnACacheHit(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f.txt"), pattern(1024), 0o644); err != nil {
		t.Fatal(err)
	}
	h, err := static.New(dir, static.Options{Revalidate: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	var ctx fasthttp.RequestCtx
	var req fasthttp.Request
	req.SetRequestURI("/f.txt")
	ctx.Init(&req, nil, nil)
	end := &End{Core: h}
	// A file that was written just now is not kept yet.
	eventually(t, "nothing is allocated", func() bool {
		return testing.AllocsPerRun(1000, func() {
			ctx.Response.Reset()
			end.Serve(&ctx)
			if ctx.Response.StatusCode() != 200 {
				t.Fatal(ctx.Response.StatusCode())
			}
		}) == 0
	})
}

func TestWelcomeStyleFS(t *testing.T) {
	h, err := static.NewFS(os.DirFS(makeTree(t)), time.Now(), static.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/": 200, "/a/b.txt": 200, "/a": 301, "/a/": 404, "/x": 404} {
		var ctx fasthttp.RequestCtx
		var req fasthttp.Request
		req.SetRequestURI(path)
		ctx.Init(&req, nil, nil)
		if (&End{Core: h}).Serve(&ctx); ctx.Response.StatusCode() != want {
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
