//go:build linux && (amd64 || arm64)

package server_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2IdleMost is what a connection may hold that has been answered and does nothing.
const h2IdleMost = 16 << 10

// TestH2IdleMemory says what it is.
func TestH2IdleMemory(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector keeps a multiple of the memory for itself")
	}
	const conns = 500
	r := &h2Running{scheme: "http", running: h2Stack.start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.WriteString("hello") }})}
	var hello bytes.Buffer
	hello.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&hello, nil)
	f.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "x"}} {
		enc.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})

	ask := func() net.Conn {
		nc, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		nc.SetDeadline(time.Now().Add(generous))
		if _, err := nc.Write(hello.Bytes()); err != nil {
			t.Fatal(err)
		}
		for got := http2.NewFramer(io.Discard, nc); ; {
			fr, err := got.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if fr.Header().Type == http2.FrameData && fr.Header().Flags.Has(http2.FlagDataEndStream) {
				return nc
			}
		}
	}
	held := func() uint64 {
		var m runtime.MemStats
		for range 3 { // pools keep what they have for two
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	ask()
	before := held()
	for range conns {
		ask()
	}
	var each int64
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // until they have settled
		if each = int64(held()-before) / conns; each <= h2IdleMost || time.Now().After(end) {
			break
		}
	}
	t.Logf("an idle HTTP/2 connection holds %d bytes", each)
	if each > h2IdleMost {
		t.Errorf("that is more than %d", h2IdleMost)
	}
}

// A connection that has settled goes on with whatever comes, also with half a frame, and
// with a stream that was open all the time; and settles again.
func TestH2SettledGoesOn(t *testing.T) {
	srv, cfg := serverTLS(t)
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "clear", true: "TLS"}[secure], func(t *testing.T) {
			fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.Write(ctx.PostBody()) }}
			r := &h2Running{scheme: "http"}
			if secure {
				fs.TLSConfig, r.scheme, r.tls = srv.Clone(), "https", cfg.Clone()
			}
			r.running = h2Stack.start(t, fs)
			f := r.frames(t)
			early := f.open(false, "POST", "/")
			for i := range 3 {
				body := fmt.Sprint("hello ", i)
				id := f.open(false, "POST", "/", "content-length", fmt.Sprint(len(body)))
				f.WriteData(id, true, []byte(body))
				expect(t, "answer", string(f.until("data", ofType(http2.FrameData, id)).(*http2.DataFrame).Data()), body)
				settled(t, true)
				if i == 1 { // the head of a PING, and the rest when it has had time to settle
					ping := []byte("\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678")
					f.Conn.Write(ping[:5])
					settled(t, false)
					time.Sleep(100 * time.Millisecond)
					f.Conn.Write(ping[5:])
					f.until("a PING", func(fr http2.Frame) bool {
						return fr.Header().Type == http2.FramePing && fr.Header().Flags.Has(http2.FlagPingAck)
					})
					settled(t, true)
				}
			}
			f.WriteData(early, true, []byte("late"))
			expect(t, "answer", string(f.until("data", ofType(http2.FrameData, early)).(*http2.DataFrame).Data()), "late")
		})
	}
}

// A client that sends PINGs keeps a connection no longer than one that sends nothing, also
// if it has settled in between.
func TestH2PingsKeepNothing(t *testing.T) {
	const rounds = 100 // of 50 ms at least, before it settles
	r := &h2Running{scheme: "http", running: h2Stack.start(t, &fasthttp.Server{Handler: echoPath, IdleTimeout: time.Second})}
	f := r.frames(t)
	expect(t, "status", f.status(f.open(true, "GET", "/")), "200")
	acks, ended := make(chan bool, 1), make(chan http2.ErrCode, 1)
	go func() {
		for {
			switch fr, err := f.ReadFrame(); fr := fr.(type) {
			case *http2.PingFrame:
				acks <- true
			case *http2.GoAwayFrame:
				ended <- fr.ErrCode
				return
			default:
				if err != nil {
					return
				}
			}
		}
	}()
	for range rounds {
		f.WritePing(false, [8]byte{})
		select {
		case <-acks:
		case code := <-ended:
			expect(t, "GOAWAY", code, http2.ErrCodeNo)
			return
		case <-time.After(patience):
			t.Fatal("neither an answer nor an end")
		}
		for end := time.Now().Add(patience); !isSettled() && len(ended) == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("it neither settles nor ends")
			}
		}
	}
	t.Errorf("it goes on after %d PINGs", rounds)
}

// isSettled reports whether a connection is.
func isSettled() bool {
	buf := make([]byte, 1<<20)
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "io.ReadFull(") && strings.Contains(g, ".(*h2conn).settles(") {
			return true
		}
	}
	return false
}

// settled waits until a connection is, or none is; there is one.
func settled(t *testing.T, want bool) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if isSettled() == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("settled: %v, want %v", !want, want)
		}
	}
}
