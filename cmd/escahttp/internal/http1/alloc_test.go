//go:build linux && (amd64 || arm64) && !race

package http1

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/cmd/escahttp/internal/static"
	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// Nothing is allocated for a request for a file that is kept, be it in memory, behind
// a descriptor, or the file itself. (Not under the race detector, which has
// sync.Pool forget.)
func TestNoAllocationPerFile(t *testing.T) {
	dir := t.TempDir()
	h, err := static.New(dir, static.Options{Revalidate: time.Hour, CacheBytes: 4 << 20, Precompressed: true, Encode: []int{0, 1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	fs := &fasthttp.Server{Handler: (&End{Core: h}).Serve}
	ln, err := conn.Listen("tcp4", "127.0.0.1:0", conn.WithLoops(1), conn.WithDispatch(conn.DispatchInline))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.New(fs).Serve(ln) }()
	defer func() {
		if err := fs.Shutdown(); err != nil {
			t.Error(err)
		}
		<-done
	}()
	for _, tt := range []struct {
		name   string
		file   string
		size   int
		accept string
	}{
		{"in memory", "a", 1 << 10, ""},
		{"a copy behind a descriptor", "b", 20 << 10, ""},
		{"a large copy", "c", 200 << 10, ""},
		{"the file itself", "d", 1 << 20, ""}, // above an eighth of the cache
		{"compressed", "e.txt", 20 << 10, "gzip, deflate, br, zstd"},
		{"compressed, behind a descriptor", "f.txt", 200 << 10, "gzip"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, tt.file)
			if err := os.WriteFile(path, pattern(tt.size), 0o644); err != nil {
				t.Fatal(err)
			}
			// What was written just now is not kept yet.
			eventually(t, "nothing is allocated", func() bool { return perRequest(t, ln.Addr().String(), tt.file, tt.accept, tt.size) < 0.1 })
		})
	}
}

// perRequest returns how much is allocated for a request of that file.
func perRequest(t *testing.T, addr, file, accept string, size int) float64 {
	c, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	request := fmt.Appendf(nil, "GET /%s HTTP/1.1\r\nHost: x\r\nAccept-Encoding: %s\r\n\r\n", file, accept)
	counted := &counter{r: c}
	r := bufio.NewReader(counted)
	c.Write(request)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || accept == "" && n != int64(size) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if resp.ContentLength < 0 || accept != "" && resp.Header.Get("Content-Encoding") == "" { // it is taken to be still written to
		return math.Inf(1)
	}
	answer := make([]byte, counted.n)
	turn := func(n int) {
		for range n {
			c.Write(request)
			if _, err := io.ReadFull(c, answer); err != nil {
				t.Fatal(err)
			}
		}
	}
	n := max(50, min(1000, 20<<20/size)) // 20 MiB, or as many as tell anything
	turn(n / 10)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	turn(n)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n)
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}
