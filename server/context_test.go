//go:build linux && (amd64 || arm64)

package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/server"
)

// contextStacks are all dispatches on all backends.
func contextStacks() []stack {
	var all []stack
	for _, p := range poller.Probes() {
		if p.Status != poller.Available {
			continue
		}
		for _, d := range []struct {
			name string
			d    conn.Dispatch
		}{{"inline", conn.DispatchInline}, {"goroutines", conn.DispatchGoroutine}, {"adaptive", conn.DispatchAdaptive}, {"direct", conn.DispatchDirect}} {
			all = append(all, esca("-"+p.Name+"-"+d.name, conn.WithLoops(1), conn.WithBackend(p.Name), conn.WithDispatch(d.d)))
		}
	}
	return all
}

// waiting has a handler that tells of its context, and waits for its end.
type waiting struct {
	begun chan context.Context
	ended chan error // its cause
}

func newWaiting() *waiting {
	return &waiting{make(chan context.Context, 16), make(chan error, 16)}
}

func (w *waiting) handle(ctx *fasthttp.RequestCtx) {
	c := server.Context(ctx)
	w.begun <- c
	select {
	case <-c.Done():
		w.ended <- context.Cause(c)
	case <-time.After(2 * generous):
		w.ended <- errors.New("waited in vain")
	}
	ctx.SetBodyString("over")
}

// A handler learns that its client has gone, however it has.
func TestContextOfClientGone(t *testing.T) {
	srv, cfg := serverTLS(t)
	for _, st := range contextStacks() {
		for _, tt := range []struct {
			name   string
			secure bool
			leave  func(net.Conn)
		}{
			{"closes", false, func(c net.Conn) { c.Close() }},
			{"resets", false, func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() }},
			{"closes its side", false, func(c net.Conn) { c.(*net.TCPConn).CloseWrite() }},
			{"sends more and resets", false, func(c net.Conn) {
				fmt.Fprint(c, get)
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
			}},
			{"closes TLS", true, func(c net.Conn) { c.Close() }},
			{"closes beneath TLS", true, func(c net.Conn) { c.(*tls.Conn).NetConn().Close() }},
		} {
			t.Run(st.name+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				w := newWaiting()
				fs := &fasthttp.Server{Handler: w.handle}
				if tt.secure {
					fs.TLSConfig = srv.Clone()
				}
				r := st.start(t, fs)
				c := r.dial(t).Conn
				if tt.secure {
					c = tls.Client(c, cfg)
				}
				fmt.Fprint(c, get)
				wait(t, w.begun, "the handler")
				tt.leave(c)
				if err := wait(t, w.ended, "the end of the context"); err != server.ErrClientGone {
					t.Errorf("the cause is %v", err)
				}
				c.Close()
			})
		}
	}
}

// The context ends with the answer, not before: body stream and all.
func TestContextOfRequest(t *testing.T) {
	for _, st := range contextStacks() {
		t.Run(st.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan context.Context, 4)
			r := st.start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
				c := server.Context(ctx)
				if server.Context(ctx) != c {
					t.Error("another context for the same request")
				}
				ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
					if err := c.Err(); err != nil {
						t.Errorf("while the body is written: %v", err)
					}
					w.WriteString("streamed")
				})
				got <- c
			}})
			c := r.dial(t)
			var last context.Context
			for range 3 {
				c.send(get)
				c.response()
				rc := wait(t, got, "the handler")
				wait(t, rc.Done(), "the end of the request's context")
				if err := context.Cause(rc); err != context.Canceled {
					t.Errorf("the cause is %v", err)
				}
				if rc == last {
					t.Error("two requests have one context")
				}
				last = rc
			}
		})
	}
}

// Who has sent more requests is there, and none of them is lost.
func TestContextOfPipeline(t *testing.T) {
	for _, st := range contextStacks() {
		t.Run(st.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			begun, goOn := make(chan context.Context), make(chan bool)
			r := st.start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
				c := server.Context(ctx)
				begun <- c
				<-goOn
				if i := n.Add(1); i < 3 && c.Err() != nil {
					t.Errorf("request %d: %v, while others wait", i, context.Cause(c))
				} else if i == 3 {
					<-c.Done()
				}
			}})
			c := r.dial(t)
			c.send(get + get)
			wait(t, begun, "the first request")
			c.send(get)
			c.Conn.(*net.TCPConn).CloseWrite()
			goOn <- true
			wait(t, begun, "the second request")
			goOn <- true
			last := wait(t, begun, "the third request")
			goOn <- true
			wait(t, last.Done(), "the end of the third request's context")
			if err := context.Cause(last); err != server.ErrClientGone {
				t.Errorf("the cause is %v", err)
			}
			if got := strings.Count(c.rest(), "HTTP/1.1 200"); got != 3 {
				t.Errorf("%d answers to three requests", got)
			}
		})
	}
}

// A server that stops says so.
func TestContextOfShutdown(t *testing.T) {
	for _, st := range contextStacks() {
		t.Run(st.name, func(t *testing.T) {
			t.Parallel()
			w := newWaiting()
			r := st.start(t, &fasthttp.Server{Handler: w.handle})
			c := r.dial(t)
			c.send(get)
			wait(t, w.begun, "the handler")
			go r.Shutdown(context.Background())
			if err := wait(t, w.ended, "the end of the context"); err != http.ErrServerClosed {
				t.Errorf("the cause is %v", err)
			}
			expect(t, "answer", strings.HasPrefix(c.rest(), "HTTP/1.1 200"), true)
		})
	}
}

// A handler that has timed out keeps the context of its own request.
func TestContextOfTimedOut(t *testing.T) {
	late := make(chan error, 1)
	asked := make(chan context.Context, 1)
	lateGate, gate := make(chan bool), make(chan bool)
	r := onOneLoop.start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) != "/slow" {
			asked <- server.Context(ctx)
			<-gate
			return
		}
		fasthttp.TimeoutHandler(func(ctx *fasthttp.RequestCtx) {
			c := server.Context(ctx)
			<-c.Done()
			<-lateGate
			late <- server.Context(ctx).Err()
		}, time.Millisecond, "late")(ctx)
	}})
	c := r.dial(t)
	c.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	c.response()
	c.send(get)
	present := wait(t, asked, "the next request")
	lateGate <- true
	if err := wait(t, late, "the late handler"); err != context.Canceled {
		t.Errorf("the late handler's context: %v", err)
	}
	if present.Err() != nil {
		t.Errorf("the present request's context: %v", present.Err())
	}
	gate <- true
	c.response()
}

// Thousands of handlers that wait leave nothing behind when their clients go.
func TestContextsLeaveNothing(t *testing.T) {
	if addr := os.Getenv("ESCA_TEST_LEAVE"); addr != "" {
		leaveChild(addr, os.Getenv("ESCA_TEST_CONNS"))
		return
	}
	n := 10_000
	if raceDetector || testing.Short() {
		n = 500
	}
	raiseFiles(t, n+500)
	var begun, ended atomic.Int32
	r := onOneLoop.start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		c := server.Context(ctx)
		begun.Add(1)
		<-c.Done()
		ended.Add(1)
	}})
	settled := func(what string, cond func() bool) {
		t.Helper()
		for start := time.Now(); !cond(); time.Sleep(10 * time.Millisecond) {
			if time.Since(start) > 3*generous {
				t.Fatalf("%s: begun %d, ended %d, %d goroutines", what, begun.Load(), ended.Load(), runtime.NumGoroutine())
			}
		}
	}
	round := func() {
		begun.Store(0)
		ended.Store(0)
		// The clients are another process: the limit of open files is per process.
		cmd := exec.Command(os.Args[0], "-test.run=^TestContextsLeaveNothing$")
		cmd.Env = append(os.Environ(), "ESCA_TEST_LEAVE="+r.addr, "ESCA_TEST_CONNS="+strconv.Itoa(n))
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err := errors.Join(err, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
		settled("begin", func() bool { return int(begun.Load()) == n })
		in.Close()
		cmd.Wait()
		settled("end", func() bool { return int(ended.Load()) == n })
		stats := r.served.(*server.Server)
		settled("gone", func() bool { return stats.Stats().Open == 0 })
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	round()
	workers := func() int { return r.served.(*server.Server).Stats().Workers }
	before, goroutines := heap(), runtime.NumGoroutine()-workers()
	round()
	settled("goroutines", func() bool { return runtime.NumGoroutine()-workers() <= goroutines+10 })
	if after := heap(); after > before+8<<20 {
		t.Errorf("%d bytes in use after another %d handlers, %d before", after, n, before)
	}
}

// leaveChild has requests sent on many connections, and goes when its standard input
// ends.
func leaveChild(addr, count string) {
	n, _ := strconv.Atoi(count)
	for range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		defer c.Close()
		fmt.Fprint(c, get)
	}
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// Of what fasthttp serves itself, the context ends with the server.
func TestContextOfOthers(t *testing.T) {
	got := make(chan context.Context, 1)
	r := reference.start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { got <- server.Context(ctx) }})
	c := r.dial(t)
	c.send(get)
	c.response()
	rc := wait(t, got, "the handler")
	if rc.Err() != nil {
		t.Errorf("before the end: %v", rc.Err())
	}
	r.stop(t)
	wait(t, rc.Done(), "the end of the context")
	expectErr(t, "Err", rc.Err(), context.Canceled)
}
