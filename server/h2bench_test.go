//go:build linux && (amd64 || arm64)

package server_test

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// BenchmarkH2 has h2load ask for a small answer, b.N times a hundred, and tells the
// processor time of a request in this process, which is the server: of esca, and of
// net/http. Over TLS, with c connections and m streams at once on each.
func BenchmarkH2(b *testing.B) {
	h2load, err := exec.LookPath("h2load")
	if err != nil {
		b.Skip("h2load is not installed")
	}
	srv, _ := serverTLS(b)
	for _, load := range []struct{ conns, streams int }{{1, 1}, {8, 1}, {8, 10}, {50, 10}} {
		for _, who := range []string{"esca", "nethttp"} {
			b.Run(fmt.Sprintf("c%d-m%d/%s", load.conns, load.streams, who), func(b *testing.B) {
				var ln net.Listener
				if who == "esca" {
					if ln, err = conn.Listen("tcp", "127.0.0.1:0"); err != nil {
						b.Fatal(err)
					}
					fs := &fasthttp.Server{TLSConfig: srv.Clone(), Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("Hello, World!") }}
					go server.New(fs).ServeTLS(ln, "", "")
					defer fs.Shutdown()
				} else {
					if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
						b.Fatal(err)
					}
					hs := &http.Server{TLSConfig: srv.Clone(), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Content-Type", "text/plain; charset=utf-8")
						w.Write([]byte("Hello, World!"))
					})}
					go hs.ServeTLS(ln, "", "")
					defer hs.Close()
				}
				n, conns, streams := 100*b.N, load.conns, load.streams
				load := func(n int) {
					args := []string{fmt.Sprint("-n", n), fmt.Sprint("-c", conns), fmt.Sprint("-m", streams), "https://" + ln.Addr().String() + "/"}
					out, err := exec.Command(h2load, args...).CombinedOutput()
					if err != nil || !strings.Contains(string(out), " 0 failed, 0 errored") {
						b.Fatalf("h2load %v: %v\n%s", args, err, out)
					}
				}
				load(2000)
				before := ownTime()
				b.ResetTimer()
				load(n)
				b.StopTimer()
				b.ReportMetric(float64(ownTime()-before)/float64(n)/1e3, "cpu-µs/request")
			})
		}
	}
}

// ownTime is the processor time that this process has taken.
func ownTime() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
