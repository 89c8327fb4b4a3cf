//go:build linux && (amd64 || arm64)

package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
	"testing/iotest"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// What a client does not take yet of small answers is kept for it, so that its other requests are answered: up to a
// bound, above which handlers wait as they do with large answers. It comes in order and whole, however little the
// client takes at a time, and goes where the client gives a stream up.
func TestH2KeptRests(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		answer := func(n int) []byte {
			b := make([]byte, n)
			rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b)
			return b
		}
		written := make(chan int, 100)
		r := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			n, _ := strconv.Atoi(string(ctx.Path()[1:]))
			ctx.SetBodyStream(&closedBody{bytes.NewReader(answer(n)), func() { written <- n }}, n)
		}})
		sizes := []int{1, 100, 20_000, 65_536, 65_537, 70_000, 200_000, 20_001, 64_000, 63_999, 50_000, 3}
		f := r.frames(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		got, want, ended := map[uint32][]byte{}, map[uint32][]byte{}, 0
		for _, n := range sizes {
			want[f.open(true, "GET", fmt.Sprint("/", n))] = answer(n)
		}
		for range sizes { // without a byte of a body taken
			f.until("a head", func(fr http2.Frame) bool { return fr.Header().Type == http2.FrameHeaders })
		}
		for range 4 { // the first, at least, are out of their handlers' hands
			select {
			case <-written:
			case <-time.After(generous):
				t.Fatal("small answers keep their handlers")
			}
		}
		given := f.open(true, "GET", "/30000")
		expect(t, "status", f.status(given), "200")
		f.WriteRSTStream(given, http2.ErrCodeCancel)
		// A little to each, and then all.
		for id := range want {
			f.WriteWindowUpdate(id, 7)
		}
		f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000})
		f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 500}) // below what was used
		f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		for ended < len(sizes) {
			switch fr := f.until("a frame of a stream", func(fr http2.Frame) bool { return fr.Header().StreamID > 0 }).(type) {
			case *http2.DataFrame:
				if want[fr.StreamID] == nil {
					t.Fatalf("%v of a stream that was given up", fr)
				}
				got[fr.StreamID] = append(got[fr.StreamID], fr.Data()...)
				if n := uint32(len(fr.Data())); n > 0 {
					f.WriteWindowUpdate(0, n)
				}
				if fr.StreamEnded() {
					ended++
				}
			default:
				t.Fatalf("%v", fr)
			}
		}
		for id := range want {
			if !bytes.Equal(got[id], want[id]) {
				t.Errorf("stream %d: %d of %d bytes, or others", id, len(got[id]), len(want[id]))
			}
		}
		expect(t, "status", f.status(f.open(true, "GET", "/10")), "200")
	})
}

// closedBody tells when fasthttp has written it.
type closedBody struct {
	*bytes.Reader
	closed func()
}

func (b *closedBody) Close() error {
	b.closed()
	return nil
}

// What has been written of an answer whose length is known waits for the rest of it, but not for a rest that does not
// come: the client has the head, and what there is of the body, while the handler waits for it to say so.
func TestH2BegunAnswersArrive(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		bodies := make(chan *io.PipeReader, 1)
		r := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) == "/next" {
				return
			}
			ctx.Response.ImmediateHeaderFlush = true
			ctx.SetBodyStream(<-bodies, 30_000)
		}})
		f := r.frames(t)
		for range 3 { // by the driver, and by those who have taken its place
			body, more := io.Pipe()
			bodies <- body
			f.WriteWindowUpdate(0, 30_000)
			id := f.open(true, "GET", "/")
			expect(t, "status", f.status(id), "200")
			got := 0
			for sent := 10_000; sent <= 30_000; sent += 10_000 {
				more.Write(make([]byte, 10_000))
				for got < sent-4<<10 { // which fasthttp's buffer has
					got += len(f.until("data", ofType(http2.FrameData, id)).(*http2.DataFrame).Data())
				}
			}
			more.Close()
			for got < 30_000 {
				got += len(f.until("data", ofType(http2.FrameData, id)).(*http2.DataFrame).Data())
			}
			expect(t, "status", f.status(f.open(true, "GET", "/next")), "200")
		}
	})
}

// Trailers come behind what was kept.
func TestH2KeptRestsAndTrailers(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		r := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.Response.Header.SetTrailer("X-After")
			ctx.SetBodyStreamWriter(func(w *bufio.Writer) { w.Write(make([]byte, 1000)) })
			ctx.Response.Header.Set("X-After", "all")
		}})
		f := r.frames(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
		id := f.open(true, "GET", "/")
		expect(t, "status", f.status(id), "200")
		f.WriteWindowUpdate(id, 990)
		got := 0
		last := f.until("trailers", func(fr http2.Frame) bool {
			if d, ok := fr.(*http2.DataFrame); ok {
				got += len(d.Data())
			}
			return fr.Header().Type == http2.FrameHeaders
		}).(*http2.MetaHeadersFrame)
		if got != 1000 || !last.StreamEnded() || len(last.RegularFields()) != 1 || last.RegularFields()[0].Value != "all" {
			t.Errorf("%d bytes, and then %v", got, last)
		}
	})
}

// A rest that the client does not take within WriteTimeout ends its stream, also when the handler has long returned;
// a request's body that is still coming when the rest is sent is not waited for.
func TestH2KeptRestsEnd(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		r := start(&fasthttp.Server{WriteTimeout: 300 * time.Millisecond, Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBody(make([]byte, 1000)) }})
		f := r.frames(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
		id := f.open(true, "GET", "/")
		expect(t, "reset", f.reset(id), http2.ErrCodeCancel)
		f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000})
		expect(t, "status", f.status(f.open(true, "GET", "/")), "200")

		r = start(&fasthttp.Server{StreamRequestBody: true, Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBody(make([]byte, 1000)) }})
		f = r.frames(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
		id = f.open(false, "POST", "/")
		expect(t, "status", f.status(id), "200")
		f.WriteWindowUpdate(id, 1000)
		f.until("the end", func(fr http2.Frame) bool {
			d, ok := fr.(*http2.DataFrame)
			return ok && d.StreamEnded()
		})
		expect(t, "reset", f.reset(id), http2.ErrCodeNo)
	})
}

// An answer that fails while some of it is kept is reset: its client is not left to wait for an end that will not come.
func TestH2KeptRestOfABrokenAnswer(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		r := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			size := -1
			if string(ctx.Path()) == "/sized" {
				size = 100_000
			}
			ctx.SetBodyStream(io.MultiReader(bytes.NewReader(make([]byte, 20_000)), iotest.ErrReader(io.ErrClosedPipe)), size)
		}})
		f := r.frames(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
		for _, path := range []string{"/chunked", "/sized"} {
			id := f.open(true, "GET", path)
			expect(t, "status", f.status(id), "200")
			f.WriteWindowUpdate(id, 1<<20)
			expect(t, "reset", f.reset(id), http2.ErrCodeInternal)
		}
	})
}

// A handler that moves its write deadline moves it for what is kept as well.
func TestH2KeptRestsAndMovedDeadlines(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		const soon = time.Second
		later := map[string]time.Time{"/never": {}, "/later": time.Now().Add(generous)}
		moved, over := make(chan bool), make(chan bool)
		r := start(&fasthttp.Server{WriteTimeout: soon, Handler: func(ctx *fasthttp.RequestCtx) {
			nc, to, at := ctx.Conn(), later[string(ctx.Path())], time.Now().Add(soon)
			nc.SetWriteDeadline(at)
			body, more := io.Pipe()
			go func() {
				more.Write(make([]byte, 5000))
				more.Write(make([]byte, 5000)) // now fasthttp has written the first, which is kept
				nc.SetWriteDeadline(to)
				moved <- true
				<-over
				more.Write(make([]byte, 5000))
				more.Close()
			}()
			ctx.SetBodyStream(body, -1)
		}})
		f := r.frames(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		for path := range later {
			id := f.open(true, "GET", path)
			expect(t, "status", f.status(id), "200")
			<-moved
			f.WriteWindowUpdate(id, 10)
			f.until("a little", ofType(http2.FrameData, id))
			time.Sleep(soon + soon/4) // past the deadline that it had: that nothing comes of it nobody tells
			over <- true
			f.WriteWindowUpdate(id, 1<<20)
			f.until("the end", func(fr http2.Frame) bool {
				if fr.Header().Type == http2.FrameRSTStream {
					t.Fatalf("%s: %v", path, fr)
				}
				d, ok := fr.(*http2.DataFrame)
				return ok && d.StreamEnded()
			})
		}
	})
}

// Also to a time that comes sooner.
func TestH2KeptRestsAndSoonerDeadlines(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		body, more := io.Pipe()
		defer more.Close()
		r := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			nc := ctx.Conn()
			nc.SetWriteDeadline(time.Now().Add(generous))
			go func() {
				more.Write(make([]byte, 5000))
				more.Write(make([]byte, 5000)) // now fasthttp has written the first, which is kept
				nc.SetWriteDeadline(time.Now().Add(time.Millisecond))
			}()
			ctx.SetBodyStream(body, -1)
		}})
		f := r.frames(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		id := f.open(true, "GET", "/")
		expect(t, "status", f.status(id), "200")
		expect(t, "reset", f.reset(id), http2.ErrCodeCancel)
	})
}

// A client that takes some is not one that takes nothing, also where the handler waits for it behind what is kept.
func TestH2StallBehindKeptRests(t *testing.T) {
	const limit, steps = 2 * time.Second, 60
	st := h2On("-1", conn.WithLoops(1))
	st.server = func(fs *fasthttp.Server) served {
		return server.New(fs, server.WithH2C(true), server.WithStreamStall(limit))
	}
	onH2Stacks(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		r := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			switch string(ctx.Path()) {
			case "/trailers":
				ctx.Response.Header.SetTrailer("X-After")
				ctx.SetBodyStreamWriter(func(w *bufio.Writer) { w.Write(make([]byte, 1000)) })
			case "/large":
				ctx.SetBodyStreamWriter(func(w *bufio.Writer) { w.Write(make([]byte, 200_000)) })
			}
		}})
		f := r.frames(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		ids := []uint32{f.open(true, "GET", "/trailers"), f.open(true, "GET", "/large")}
		for range steps { // a step is far shorter than the limit, and all are longer
			time.Sleep(limit / 30)
			for _, id := range ids {
				f.WriteWindowUpdate(id, 1)
			}
		}
		f.WriteWindowUpdate(0, 1<<20)
		for _, id := range ids {
			f.WriteWindowUpdate(id, 1<<20)
		}
		for ended := 0; ended < len(ids); {
			switch fr := f.until("a frame", func(http2.Frame) bool { return true }).(type) {
			case *http2.RSTStreamFrame:
				t.Fatalf("%v", fr)
			default:
				if (fr.Header().Type == http2.FrameData || fr.Header().Type == http2.FrameHeaders) && fr.Header().Flags.Has(http2.FlagDataEndStream) {
					ended++
				}
			}
		}
	}, st)
}

// ConnState hears that a connection is idle when the client has taken what was kept, and not only with the next request.
func TestH2KeptRestsAndConnState(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		states, handled := make(chan fasthttp.ConnState, 100), make(chan bool, 1)
		r := start(&fasthttp.Server{
			ConnState: func(_ net.Conn, s fasthttp.ConnState) { states <- s },
			Handler: func(ctx *fasthttp.RequestCtx) {
				ctx.SetBodyStream(&closedBody{bytes.NewReader(make([]byte, 1000)), func() { handled <- true }}, 1000)
			},
		})
		await := func(want fasthttp.ConnState) {
			t.Helper()
			for {
				select {
				case s := <-states:
					if s == want {
						return
					}
				case <-time.After(generous):
					t.Fatalf("ConnState is not told %v", want)
				}
			}
		}
		f := r.frames(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
		for _, end := range []func(id uint32){
			func(id uint32) { f.WriteWindowUpdate(id, 1000) },
			func(id uint32) { f.WriteRSTStream(id, http2.ErrCodeCancel) },
		} {
			id := f.open(true, "GET", "/")
			await(fasthttp.StateActive)
			<-handled
			expect(t, "status", f.status(id), "200")
			f.WritePing(false, [8]byte{byte(id)})
			f.until("the answer to a PING", ofType(http2.FramePing, 0)) // nobody is in the handler
			end(id)
			await(fasthttp.StateIdle)
		}
	})
}
