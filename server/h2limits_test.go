//go:build linux && (amd64 || arm64)

package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// A list that is small on the wire and large when read is too large, as a long one is,
// and costs the connection nothing.
func TestH2HeaderBombs(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		f := start(&fasthttp.Server{Handler: echoPath}).frames(t)
		for range 3 {
			fields := []string{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "x"}
			for range 5000 { // a byte each, behind the first
				fields = append(fields, "x", strings.Repeat("x", 3000))
			}
			expect(t, "status", f.status(f.raw(true, fields...)), "431")
			expect(t, "status", f.status(f.open(true, "GET", "/")), "200")
		}
	})
}

// What a client sends beyond all streams' window together, or with padding beyond one's,
// is too much; padding alone is given back.
func TestH2WindowsOfClients(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		release := make(chan bool)
		r := start(&fasthttp.Server{StreamRequestBody: true, Handler: func(*fasthttp.RequestCtx) { <-release }})
		t.Cleanup(func() { close(release) })
		f := r.frames(t)
		for range 5 {
			id := f.open(false, "POST", "/")
			for range 15 {
				f.WriteData(id, false, make([]byte, 16<<10))
			}
		}
		expect(t, "GOAWAY", f.goAway(), http2.ErrCodeFlowControl)
		f.closed()

		f = r.frames(t)
		id := f.open(false, "POST", "/")
		for range 16 {
			f.WriteDataPadded(id, false, make([]byte, 16<<10-256), make([]byte, 255))
		}
		f.WriteDataPadded(id, false, make([]byte, 16<<10-256), make([]byte, 255))
		expect(t, "reset", f.reset(id), http2.ErrCodeFlowControl)

		id = f.open(false, "POST", "/")
		for given := 0; given < 1<<20; {
			for range 1000 { // less than the window
				f.WriteDataPadded(id, false, nil, make([]byte, 200))
			}
			for got := 0; got < 64<<10; {
				got += int(f.until("a WINDOW_UPDATE", ofType(http2.FrameWindowUpdate, id)).(*http2.WindowUpdateFrame).Increment)
				given += got
			}
		}
	})
}

// Answers keep to what the client has said of frames and of the header table.
func TestH2SettingsOfClients(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		r := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.Response.Header.Set("X-Long", strings.Repeat("x", 100_000))
			ctx.SetBody(noise(60_000))
		}})
		for _, size := range []uint32{16384, 20_000, 1<<24 - 1} {
			f := r.frames(t, http2.Setting{ID: http2.SettingMaxFrameSize, Val: size}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
			f.SetMaxReadFrameSize(size)
			f.ReadMetaHeaders, f.MaxHeaderListSize = hpack.NewDecoder(0, nil), 1<<20
			for range 2 {
				id := f.open(true, "GET", "/")
				head := f.until("a head", ofType(http2.FrameHeaders, id)).(*http2.MetaHeadersFrame)
				expect(t, "status", head.PseudoValue("status"), "200")
				got := 0
				for done := false; !done; {
					d := f.until("data", ofType(http2.FrameData, id)).(*http2.DataFrame)
					got, done = got+len(d.Data()), d.StreamEnded()
					f.WriteWindowUpdate(0, max(uint32(len(d.Data())), 1))
				}
				expect(t, "bytes", got, 60_000)
			}
		}
	})
}

// A client may send, before it hears of it, what belongs to a stream that the server has
// reset; and may say that it goes.
func TestH2CrossingFrames(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		r := start(&fasthttp.Server{StreamRequestBody: true, Handler: echoPath})
		f := r.frames(t)
		id := f.open(false, "POST", "/unread")
		expect(t, "status", f.status(id), "200")
		expect(t, "reset", f.reset(id), http2.ErrCodeNo)
		for range 3000 {
			f.WriteData(id, false, []byte("x"))
		}
		f.block.Reset()
		f.enc.WriteField(hpack.HeaderField{Name: "x-trailer", Value: "y"})
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.block.Bytes(), EndStream: true, EndHeaders: true})
		f.WriteRSTStream(id, http2.ErrCodeCancel)
		expect(t, "status", f.status(f.open(true, "GET", "/")), "200")

		release := make(chan bool)
		r = start(&fasthttp.Server{Handler: func(*fasthttp.RequestCtx) { <-release }})
		f = r.frames(t)
		id = f.open(true, "GET", "/")
		f.WriteGoAway(0, http2.ErrCodeNo, nil)
		f.open(true, "GET", "/") // of which it is told
		expect(t, "GOAWAY", f.goAway(), http2.ErrCodeNo)
		close(release)
		expect(t, "status", f.status(id), "200")
		f.closed()
	})
}

// Half a frame keeps a connection no longer than none; one that comes byte by byte is
// one.
func TestH2HalfFrames(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		for _, set := range []func(*fasthttp.Server){
			func(fs *fasthttp.Server) { fs.IdleTimeout = 50 * time.Millisecond },
			func(fs *fasthttp.Server) { fs.ReadTimeout = 50 * time.Millisecond },
		} {
			fs := &fasthttp.Server{Handler: echoPath}
			set(fs)
			r := start(fs)
			for _, half := range []string{"\x00", "\x00\x00\x08\x06\x00\x00\x00\x00", "\x00\x00\x08\x06\x00\x00\x00\x00\x00half", "\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82"} {
				f := r.frames(t)
				io.WriteString(f, half)
				f.closed()
			}
		}
		f := start(&fasthttp.Server{Handler: echoPath}).frames(t)
		f.Framer = http2.NewFramer(segments{f.Conn, 1}, f.Conn)
		f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		id := f.open(false, "POST", "/")
		f.WriteDataPadded(id, true, []byte("x"), make([]byte, 3))
		expect(t, "status", f.status(id), "200")
	})
}

// A connection may end in any state, and leaves nothing.
func TestH2EndsInEveryState(t *testing.T) {
	states := map[string]func(f *frames){
		"greeted":        func(f *frames) {},
		"half a frame":   func(f *frames) { io.WriteString(f, "\x00\x00\x08") },
		"half a head":    func(f *frames) { f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1}) },
		"a body to come": func(f *frames) { f.open(false, "POST", "/") },
		"half a body":    func(f *frames) { f.WriteData(f.open(false, "POST", "/", "content-length", "9"), false, []byte("half")) },
		"a handler":      func(f *frames) { f.open(true, "GET", "/wait") },
		"no window":      func(f *frames) { f.status(f.open(true, "GET", "/long")) },
		"an answer unread": func(f *frames) {
			f.WriteWindowUpdate(0, 1<<30)
			f.WriteWindowUpdate(f.open(true, "GET", "/long"), 1<<30)
		},
		"a reset":  func(f *frames) { f.WriteRSTStream(f.open(true, "GET", "/wait"), http2.ErrCodeCancel) },
		"a GOAWAY": func(f *frames) { f.open(true, "GET", "/wait"); f.WriteGoAway(0, http2.ErrCodeNo, nil) },
		"an error": func(f *frames) { f.open(true, "GET", "/wait"); f.WriteData(99, true, nil) },
	}
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		var running atomic.Int32
		r := start(&fasthttp.Server{StreamRequestBody: true, Handler: func(ctx *fasthttp.RequestCtx) {
			running.Add(1)
			defer running.Add(-1)
			if in := ctx.RequestBodyStream(); in != nil {
				io.Copy(io.Discard, in)
			}
			switch string(ctx.Path()) {
			case "/wait":
				<-server.Context(ctx).Done()
			case "/long":
				ctx.SetBody(make([]byte, 8<<20))
			}
		}})
		for range 3 {
			for _, set := range states {
				f := r.frames(t)
				set(f)
				f.Close()
			}
		}
		s := r.served.(*server.Server)
		for start := time.Now(); s.Stats().Open > 0 || running.Load() > 0; time.Sleep(time.Millisecond) {
			if time.Since(start) > generous {
				t.Fatalf("%d connections, %d handlers", s.Stats().Open, running.Load())
			}
		}
	})
}

// Who announces bodies and sends a byte of each gets memory for what it has sent: a
// hundred streams of 4 MiB would be 400.
func TestH2AnnouncedBodies(t *testing.T) {
	const streams, length = 100, 4 << 20
	r := &h2Running{scheme: "http", running: h2Stack.start(t, &fasthttp.Server{Handler: func(*fasthttp.RequestCtx) {}})}
	f := r.frames(t)
	expect(t, "status", f.status(f.open(true, "GET", "/")), "200")
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range streams {
		f.WriteData(f.open(false, "POST", "/", "content-length", strconv.Itoa(length)), false, []byte("x"))
	}
	// All have been looked at when that many wait for more.
	stacks := make([]byte, 4<<20)
	for end := time.Now().Add(patience); bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("(*stream).Receive(")) < streams; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not every stream waits for its body")
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > streams*length/8 {
		t.Errorf("%d streams that announce %d MiB and send a byte take %d MiB", streams, length>>20, grown>>20)
	}
}

// However a body comes to fasthttp, a handler sees its length, and no trailers that were
// not announced.
func TestH2LongBodiesHaveALength(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		r := start(&fasthttp.Server{MaxRequestBodySize: 1 << 20, Handler: func(ctx *fasthttp.RequestCtx) {
			h := &ctx.Request.Header
			fmt.Fprintf(ctx, "%d %s %q %q %d", h.ContentLength(), h.Peek("Content-Length"), h.Peek("Transfer-Encoding"), h.Peek("X-Late"), len(ctx.PostBody()))
		}})
		for _, length := range []int{1, 64<<10 - 1, 64 << 10, 200_000, 1 << 20, 1<<20 + 1} {
			f := r.frames(t)
			id := f.open(false, "POST", "/", "content-length", strconv.Itoa(length))
			if length > 1<<20 {
				expect(t, "status", f.status(id), "400") // as fasthttp answers it
				continue
			}
			sent := 0
			for left := 256 << 10; sent < length; {
				n := min(length-sent, 16<<10)
				for left < n {
					left += int(f.until("a WINDOW_UPDATE", ofType(http2.FrameWindowUpdate, id)).(*http2.WindowUpdateFrame).Increment)
				}
				f.WriteData(id, false, make([]byte, n))
				sent, left = sent+n, left-n
			}
			f.block.Reset()
			f.enc.WriteField(hpack.HeaderField{Name: "x-late", Value: "y"})
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.block.Bytes(), EndStream: true, EndHeaders: true})
			expect(t, "status", f.status(id), "200")
			got := string(f.until("data", ofType(http2.FrameData, id)).(*http2.DataFrame).Data())
			expect(t, "seen", got, fmt.Sprintf(`%d %[1]d "" "" %[1]d`, length))
		}
	})
}

// A stream whose client takes nothing of the answer ends, and its connection goes on; one that takes a
// little, over and over, does not.
func TestH2StreamStall(t *testing.T) {
	const limit, steps = 3 * time.Second, 100
	st := h2On("-1", conn.WithLoops(1))
	st.server = func(fs *fasthttp.Server) served {
		return server.New(fs, server.WithH2C(true), server.WithStreamStall(limit))
	}
	onH2Stacks(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		ended := make(chan error, 1)
		r := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) != "/stalled" { // what is kept for the client, and does not keep the handler
				ctx.SetBody(make([]byte, steps))
				return
			}
			ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
				var err error
				for err == nil {
					if _, err = w.Write(make([]byte, 4096)); err == nil {
						err = w.Flush()
					}
				}
				ended <- err
			})
		}})
		f := r.frames(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		stalled := f.open(true, "GET", "/stalled")
		kept := f.open(true, "GET", "/kept")
		steady := f.open(true, "GET", "/steady")
		left, cancelled := steps, map[uint32]bool{}
		for left > 0 || len(cancelled) < 2 {
			fr, err := f.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			switch fr := fr.(type) {
			case *http2.RSTStreamFrame:
				if fr.StreamID != stalled && fr.StreamID != kept || fr.ErrCode != http2.ErrCodeCancel {
					t.Fatalf("%v", fr)
				}
				cancelled[fr.StreamID] = true
			case *http2.DataFrame:
				if fr.StreamID != steady {
					continue
				}
				if left -= len(fr.Data()); left > 0 {
					time.Sleep(limit / (steps - 20)) // the client's own pace
					f.WriteWindowUpdate(steady, 1)
				}
			}
		}
		select {
		case <-ended:
		case <-time.After(generous):
			t.Error("the handler's body is still being written")
		}
		f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000})
		expect(t, "status", f.status(f.open(true, "GET", "/next")), "200")
	}, st)
}
