//go:build linux && (amd64 || arm64)

package server_test

import (
	"bufio"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/reuseport"

	"github.com/escahttp/esca/server"
)

// Clients in the server's own process, as every test of an application has them:
//
//	go test -run '^$' -bench . -benchtime 500x ./server

// frontEnd is fasthttp's own server, or ours.
type frontEnd struct {
	name  string
	serve func(fs *fasthttp.Server, ln net.Listener) error
}

var frontEnds = []frontEnd{
	{"fasthttp", func(fs *fasthttp.Server, ln net.Listener) error { return fs.Serve(ln) }},
	{"esca", func(fs *fasthttp.Server, ln net.Listener) error { return server.New(fs).Serve(ln) }},
}

func helloServer() *fasthttp.Server {
	return &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("hello") }}
}

// benchListen listens on a port of the kernel's choice.
func benchListen(b *testing.B) net.Listener {
	b.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	return ln
}

// benchClient asks for / over one connection, again and again.
type benchClient struct {
	c net.Conn
	r *bufio.Reader
}

func dialBench(b *testing.B, addr net.Addr) *benchClient {
	b.Helper()
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		b.Fatal(err)
	}
	return &benchClient{c, bufio.NewReader(c)}
}

func (a *benchClient) ask() error {
	if _, err := a.c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		return err
	}
	var resp fasthttp.Response
	return resp.Read(a.r)
}

// reportTimes reports the median, the ninetieth percentile and the maximum, in µs.
func reportTimes(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	at := func(part float64) float64 {
		return float64(took[int(part*float64(len(took)-1))]) / float64(time.Microsecond)
	}
	b.ReportMetric(at(0.5), "µs/p50")
	b.ReportMetric(at(0.9), "µs/p90")
	b.ReportMetric(at(1), "µs/max")
	b.ReportMetric(0, "ns/op") // most of it is waiting
}

// A server's first answer, from just before its Serve is called.
func BenchmarkFirstAnswer(b *testing.B) {
	for _, fe := range frontEnds {
		b.Run(fe.name, func(b *testing.B) {
			var took []time.Duration
			for range b.N {
				fs, ln := helloServer(), benchListen(b)
				ended := make(chan error, 1)
				began := time.Now()
				go func() { ended <- fe.serve(fs, ln) }()
				a := dialBench(b, ln.Addr())
				if err := a.ask(); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
				a.c.Close()
				fs.Shutdown()
				<-ended
			}
			reportTimes(b, took)
		})
	}
}

// A request now and then, to a server that has nothing else to do.
func BenchmarkNowAndThen(b *testing.B) {
	for _, fe := range frontEnds {
		b.Run(fe.name, func(b *testing.B) {
			fs, ln := helloServer(), benchListen(b)
			go fe.serve(fs, ln)
			defer fs.Shutdown()
			a := dialBench(b, ln.Addr())
			defer a.c.Close()
			var took []time.Duration
			for range b.N {
				time.Sleep(10 * time.Millisecond)
				began := time.Now()
				if err := a.ask(); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			reportTimes(b, took)
		})
	}
}

// A listener of reuseport.Listen and a Serve for each processor, as prefork and a public
// benchmark's fasthttp have it: CPU µs a request, of server and clients together.
func BenchmarkServeForEachProcessor(b *testing.B) {
	for _, fe := range frontEnds {
		b.Run(fe.name, func(b *testing.B) {
			fs := helloServer()
			addr := "127.0.0.1:0"
			for range runtime.GOMAXPROCS(0) {
				ln, err := reuseport.Listen("tcp4", addr)
				if err != nil {
					b.Fatal(err)
				}
				addr = ln.Addr().String()
				go fe.serve(fs, ln)
			}
			defer fs.Shutdown()
			var clients []*benchClient
			for range 64 {
				c, err := net.Dial("tcp4", addr)
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				clients = append(clients, &benchClient{c, bufio.NewReader(c)})
			}
			b.ResetTimer()
			began := processorTime(b)
			var wg sync.WaitGroup
			failed := make(chan error, len(clients))
			for i, a := range clients {
				wg.Go(func() {
					for range (b.N + i) / len(clients) {
						if err := a.ask(); err != nil {
							failed <- fmt.Errorf("connection %d: %w", i, err)
							return
						}
					}
				})
			}
			wg.Wait()
			if len(failed) > 0 {
				b.Fatal(<-failed)
			}
			b.ReportMetric(float64(processorTime(b)-began)/float64(b.N)/float64(time.Microsecond), "µs-CPU/op")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
