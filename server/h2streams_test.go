//go:build linux && (amd64 || arm64)

package server_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2"

	"github.com/escahttp/esca/server"
)

// A request's body is read while it comes, and the answer written meanwhile: each piece
// is there before the next is sent.
func TestH2StreamsBothWays(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		r := start(&fasthttp.Server{StreamRequestBody: true, Handler: func(ctx *fasthttp.RequestCtx) {
			in := ctx.RequestBodyStream()
			ctx.Response.ImmediateHeaderFlush = true
			ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
				lines := bufio.NewScanner(in)
				for lines.Scan() {
					fmt.Fprintf(w, "got %s\n", lines.Text())
					w.Flush()
				}
			})
		}})
		body, send := io.Pipe()
		req, _ := http.NewRequest("POST", r.url("/"), body)
		go fmt.Fprintln(send, "0")
		resp, err := r.client(t, 2).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		for i := range 20 {
			got, err := lines.ReadString('\n')
			if want := fmt.Sprintf("got %d\n", i); got != want {
				t.Fatalf("line %d: %q, %v", i, got, err)
			}
			fmt.Fprintln(send, i+1)
		}
		send.Close()
		io.Copy(io.Discard, lines)
	})
}

// Bodies are as long as windows are small, either way.
func TestH2FlowControl(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		r := start(&fasthttp.Server{MaxRequestBodySize: 1 << 30, StreamRequestBody: true, Handler: func(ctx *fasthttp.RequestCtx) {
			n, _ := io.Copy(io.Discard, ctx.RequestBodyStream())
			ctx.SetBody(bytes.Repeat([]byte{'x'}, int(n)))
		}})
		c := r.client(t, 2)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				resp, err := c.Post(r.url("/"), "", bytes.NewReader(make([]byte, 1<<20)))
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if n, err := io.Copy(io.Discard, resp.Body); n != 1<<20 || err != nil {
					t.Errorf("%d bytes, %v", n, err)
				}
			})
		}
		wg.Wait()
		// By frames: a byte at a time, and a window that shrinks below what is used of it.
		f := r.frames(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
		id := f.open(false, "POST", "/")
		f.WriteData(id, true, make([]byte, 30))
		got := 0
		for got < 30 {
			d := f.until("data", ofType(http2.FrameData, id)).(*http2.DataFrame)
			if got += len(d.Data()); got == 10 {
				f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 3})
				f.WriteWindowUpdate(id, 7)
			}
			if got >= 10 {
				f.WriteWindowUpdate(id, 1)
			}
			if got > 30 || len(d.Data()) > 10 {
				t.Fatalf("%d bytes at once, %d in all", len(d.Data()), got)
			}
		}
	})
}

// A client that sends more than it may is told so.
func TestH2FlowControlOfClients(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		release := make(chan bool)
		r := start(&fasthttp.Server{StreamRequestBody: true, Handler: func(ctx *fasthttp.RequestCtx) { <-release }})
		f := r.frames(t)
		id := f.open(false, "POST", "/")
		for range 20 {
			f.WriteData(id, false, make([]byte, 16<<10))
		}
		expect(t, "reset", f.reset(id), http2.ErrCodeFlowControl)
		close(release)
		// What was never read is given back: the connection goes on.
		for range 20 {
			id := f.open(false, "POST", "/")
			f.WriteData(id, true, make([]byte, 100<<10)[:16<<10])
			expect(t, "status", f.status(id), "200")
		}
	})
}

// A handler that blocks keeps neither its connection nor its neighbours.
func TestH2BlockedHandlers(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		release := make(chan bool)
		var blocked atomic.Int32
		r := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) == "/block" {
				blocked.Add(1)
				<-release
			}
			ctx.Write(ctx.Path())
		}})
		f := r.frames(t)
		var ids []uint32
		for range 100 {
			ids = append(ids, f.open(true, "GET", "/block"))
		}
		for range 20 {
			expect(t, "status", f.status(f.open(true, "GET", "/quick")), "200")
		}
		for start := time.Now(); blocked.Load() < 100; time.Sleep(time.Millisecond) {
			if time.Since(start) > generous {
				t.Fatalf("%d of 100 handlers run at once", blocked.Load())
			}
		}
		close(release)
		answered := make(map[uint32]bool)
		for len(answered) < len(ids) {
			fr := f.until("an end", func(fr http2.Frame) bool {
				d, ok := fr.(*http2.DataFrame)
				return ok && d.StreamEnded()
			})
			answered[fr.Header().StreamID] = true
		}
	})
}

// More streams than the server allows are refused, one by one.
func TestH2TooManyStreams(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		release := make(chan bool)
		r := start(&fasthttp.Server{Handler: func(*fasthttp.RequestCtx) { <-release }})
		f := r.frames(t)
		var last uint32
		for range 251 {
			last = f.open(true, "GET", "/")
		}
		expect(t, "reset", f.reset(last), http2.ErrCodeRefusedStream)
		close(release)
		for { // until some of the others have ended
			id := f.open(true, "GET", "/")
			fr := f.until("an answer", func(fr http2.Frame) bool { return fr.Header().StreamID == id })
			if refused, ok := fr.(*http2.RSTStreamFrame); ok {
				expect(t, "reset", refused.ErrCode, http2.ErrCodeRefusedStream)
				continue
			}
			expect(t, "status", fr.(*http2.MetaHeadersFrame).PseudoValue("status"), "200")
			break
		}
	})
}

// Who opens streams only to reset them is sent away.
func TestH2RapidReset(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		release := make(chan bool)
		r := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { <-release }})
		t.Cleanup(func() { close(release) })
		f := r.frames(t)
		got := make(chan http2.ErrCode, 1)
		go func() {
			for {
				fr, err := f.ReadFrame()
				if err != nil {
					got <- 0
					return
				}
				if g, ok := fr.(*http2.GoAwayFrame); ok {
					got <- g.ErrCode
					return
				}
			}
		}()
		for range 5000 {
			f.block.Reset()
			id := f.next
			f.next += 2
			f.block.Write([]byte{0x82, 0x86, 0x84, 0x01, 0x01, 'x'}) // GET, http, /, authority x
			if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.block.Bytes(), EndStream: true, EndHeaders: true}) != nil || f.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
				break
			}
		}
		if code := wait(t, got, "the end"); code != http2.ErrCodeEnhanceYourCalm && code != 0 {
			t.Errorf("GOAWAY %v", code)
		}
	})
}

// The context of a request ends when its stream is reset, or its connection ends, and not
// with another's.
func TestH2Context(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		w := newWaiting()
		r := start(&fasthttp.Server{Handler: w.handle})
		f := r.frames(t)
		a, _ := f.open(true, "GET", "/"), f.open(true, "GET", "/")
		first := wait(t, w.begun, "a handler")
		second := wait(t, w.begun, "a handler")
		f.WriteRSTStream(a, http2.ErrCodeCancel)
		expectErr(t, "cause", wait(t, w.ended, "the end of a context"), server.ErrClientGone)
		if (first.Err() == nil) == (second.Err() == nil) {
			t.Errorf("one stream was reset, and the contexts are %v, %v", first.Err(), second.Err())
		}
		f.Close()
		expectErr(t, "cause", wait(t, w.ended, "the end of a context"), server.ErrClientGone)

		got := make(chan context.Context, 1)
		r = start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { got <- server.Context(ctx) }})
		f = r.frames(t)
		expect(t, "status", f.status(f.open(true, "GET", "/")), "200")
		rc := wait(t, got, "the handler")
		wait(t, rc.Done(), "the end of the request's context")
		expectErr(t, "cause", context.Cause(rc), context.Canceled)

		r = start(&fasthttp.Server{Handler: w.handle})
		f = r.frames(t)
		id := f.open(true, "GET", "/")
		wait(t, w.begun, "the handler")
		go r.Shutdown(context.Background())
		expectErr(t, "cause", wait(t, w.ended, "the end of the context"), http.ErrServerClosed)
		expect(t, "status", f.status(id), "200")
		f.closed()
	})
}

// Connections that have ended leave no goroutine behind, whatever was under way.
func TestH2LeavesNothing(t *testing.T) {
	var running atomic.Int32
	srv, cfg := serverTLS(t)
	r := &h2Running{scheme: "https", tls: cfg, running: h2Stack.start(t, &fasthttp.Server{TLSConfig: srv, StreamRequestBody: true, Handler: func(ctx *fasthttp.RequestCtx) {
		running.Add(1)
		defer running.Add(-1)
		io.Copy(io.Discard, ctx.RequestBodyStream())
		<-server.Context(ctx).Done()
	}})}
	before := 0
	for round := range 3 {
		var fs []*frames
		for range 20 {
			f := r.frames(t)
			for range 5 {
				f.open(false, "POST", "/")
				f.WriteData(f.open(false, "POST", "/"), true, []byte("all"))
			}
			fs = append(fs, f)
		}
		for start := time.Now(); running.Load() < 200; time.Sleep(time.Millisecond) {
			if time.Since(start) > generous {
				t.Fatalf("%d handlers run", running.Load())
			}
		}
		for _, f := range fs {
			f.Close()
		}
		s := r.served.(*server.Server)
		for start := time.Now(); running.Load() > 0 || s.Stats().Open > 0 || round > 0 && runtime.NumGoroutine()-s.Stats().Workers > before+5; time.Sleep(time.Millisecond) {
			if time.Since(start) > generous {
				buf := make([]byte, 1<<20)
				t.Fatalf("%d handlers, %d connections, %d goroutines (%d before)\n%s", running.Load(), s.Stats().Open, runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
			}
		}
		if round == 0 {
			before = runtime.NumGoroutine() - s.Stats().Workers
		}
	}
}

// A body stream that fails resets its stream: the client does not take it for all.
func TestH2BrokenBody(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		r := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			if ctx.QueryArgs().Has("sized") {
				ctx.SetBodyStream(strings.NewReader("short"), 100)
				return
			}
			ctx.SetBodyStream(io.MultiReader(strings.NewReader("some"), iotest.ErrReader(errors.New("on purpose"))), -1)
		}})
		f := r.frames(t)
		for _, path := range []string{"/?sized", "/"} {
			id := f.open(true, "GET", path)
			expect(t, "reset", f.reset(id), http2.ErrCodeInternal)
		}
		expect(t, "status", f.status(f.open(true, "GET", "/")), "200")
	})
}
