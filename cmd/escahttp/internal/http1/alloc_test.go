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
	h, err := static.New(dir, static.Options{Revalidate: time.Hour, CacheBytes: 4 << 20})
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
		name string
		size int
	}{
		{"in memory", 1 << 10},
		{"a copy behind a descriptor", 20 << 10},
		{"a large copy", 200 << 10},
		{"the file itself", 1 << 20}, // above an eighth of the cache
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, fmt.Sprint(tt.size))
			if err := os.WriteFile(path, pattern(tt.size), 0o644); err != nil {
				t.Fatal(err)
			}
			// What was written just now is not kept yet.
			eventually(t, "nothing is allocated", func() bool { return perRequest(t, ln.Addr().String(), tt.size) < 0.1 })
		})
	}
}

// perRequest returns how much is allocated for a request of the file of that size.
func perRequest(t *testing.T, addr string, size int) float64 {
	c, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	request := fmt.Appendf(nil, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", size)
	counted := &counter{r: c}
	r := bufio.NewReader(counted)
	c.Write(request)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != int64(size) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if resp.ContentLength < 0 { // it is taken to be still written to
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
