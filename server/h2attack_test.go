//go:build linux && (amd64 || arm64)

package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/escahttp/esca/server"
)

// raw sends a head of exactly these fields.
func (f *frames) raw(end bool, fields ...string) uint32 {
	f.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		f.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	id := f.next
	f.next += 2
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.block.Bytes(), EndStream: end, EndHeaders: true})
	return id
}

// A head that would be another in HTTP/1.1 reaches nobody, and is the end of its stream
// only.
func TestH2NoSmuggling(t *testing.T) {
	with := func(changed ...string) []string {
		all := []string{":method", "POST", ":scheme", "http", ":path", "/", ":authority", "x"}
		for i := 0; i < len(changed); i += 2 {
			if j := strings.Index(":method:scheme:path:authority", changed[i]); strings.HasPrefix(changed[i], ":") && j >= 0 {
				for k := 0; k < 8; k += 2 {
					if all[k] == changed[i] {
						all[k+1] = changed[i+1]
					}
				}
				continue
			}
			all = append(all, changed[i], changed[i+1])
		}
		return all
	}
	bad := map[string][]string{
		"method of two words":       with(":method", "GET /other HTTP/1.1"),
		"method with a tab":         with(":method", "GET\t"),
		"method with a line end":    with(":method", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET"),
		"method that is no token":   with(":method", "GE(T"),
		"no method":                 with(":method", ""),
		"path with a space":         with(":path", "/ HTTP/1.1"),
		"path with a space at last": with(":path", "/ "),
		"path with a tab":           with(":path", "/\t"),
		"path with a line end":      with(":path", "/ HTTP/1.1\r\nX: y"),
		"path with a zero byte":     with(":path", "/\x00"),
		"path with a DEL":           with(":path", "/\x7f"),
		"absolute path":             with(":path", "http://other/"),
		"path without a slash":      with(":path", "other"),
		"path that is a query":      with(":path", "?x"),
		"no path":                   with(":path", ""),
		"star for POST":             with(":path", "*"),
		"authority with a space":    with(":authority", "x y"),
		"authority with a user":     with(":authority", "user@x"),
		"authority with a slash":    with(":authority", "x/y"),
		"authority with a query":    with(":authority", "x?y"),
		"authority with a fragment": with(":authority", "x#y"),
		"authority with a line end": with(":authority", "x\r\nX: y"),
		"authority with a tab":      with(":authority", "x\t"),
		"host with a user":          with(":authority", "", "host", "user@x"),
		"host with a space":         with(":authority", "", "host", "x y"),
		"host that is another":      with("host", "other"),
		"two hosts":                 with(":authority", "", "host", "x", "host", "y"),
		"two lengths":               with("content-length", "0", "content-length", "5"),
		"one length twice":          with("content-length", "0", "content-length", "0"),
		"signed length":             with("content-length", "+0"),
		"negative length":           with("content-length", "-1"),
		"list of lengths":           with("content-length", "0, 0"),
		"hexadecimal length":        with("content-length", "0x0"),
		"length with a space":       with("content-length", " 0"),
		"empty length":              with("content-length", ""),
		"long length":               with("content-length", "99999999999999999999"),
		"length without a body":     with("content-length", "1"),
		"chunks":                    with("transfer-encoding", "chunked"),
		"chunks, by other letters":  with("Transfer-Encoding", "chunked"),
		"connection":                with("connection", "close"),
		"proxy-connection":          with("proxy-connection", "close"),
		"keep-alive":                with("keep-alive", "1"),
		"upgrade":                   with("upgrade", "websocket"),
		"te":                        with("te", "gzip"),
		"name with a space":         with("x y", "z"),
		"name with a colon":         with("x:y", "z"),
		"name with a line end":      with("x\r\ny", "z"),
		"no name":                   with("", "z"),
		"value with a line end":     with("x", "y\r\nX: z"),
		"value with a line feed":    with("x", "y\nX: z"),
		"value with a return":       with("x", "y\rX: z"),
		"value with a zero byte":    with("x", "y\x00"),
		"cookie with a line end":    with("cookie", "a=b", "cookie", "c\r\nX: z"),
		"protocol":                  with(":protocol", "websocket"),
		"CONNECT with a path":       {":method", "CONNECT", ":authority", "x:1", ":path", "/"},
		"CONNECT with a space":      {":method", "CONNECT", ":authority", "x:1 HTTP/1.1"},
		"CONNECT with a user":       {":method", "CONNECT", ":authority", "user@x:1"},
		"CONNECT to nobody":         {":method", "CONNECT"},
		"scheme of another kind":    with(":scheme", "ftp"),
	}
	good := map[string][]string{
		"star for OPTIONS":      with(":method", "OPTIONS", ":path", "*"),
		"a method of one's own": with(":method", "M-SEARCH"),
		"host alone":            with(":authority", "", "host", "x:80"),
		"host that is the same": with("host", "x"),
		"address":               with(":authority", "[::1]:80"),
		"trailers":              with("te", "trailers"),
		"path with a query":     with(":path", "/a%20b?c=d&e"),
		"length":                with("content-length", "0"),
	}
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		var called atomic.Int32
		r := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			called.Add(1)
			if n := len(ctx.Request.Header.Peek("X")); n > 0 {
				t.Errorf("a field X in %q", ctx.Request.Header.String())
			}
		}})
		f := r.frames(t)
		for name, fields := range bad {
			if code := f.reset(f.raw(true, fields...)); code != http2.ErrCodeProtocol {
				t.Errorf("%s: %v", name, code)
			}
		}
		expect(t, "handlers called", called.Load(), 0)
		for name, fields := range good {
			if got := f.status(f.raw(true, fields...)); got != "200" {
				t.Errorf("%s: %s", name, got)
			}
		}
	})
}

// The body is what the DATA frames have, whatever the head and the trailers say.
func TestH2LengthIsTheBodys(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		const next = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
		for _, stream := range []bool{false, true} {
			r := start(&fasthttp.Server{StreamRequestBody: stream, Handler: func(ctx *fasthttp.RequestCtx) {
				if string(ctx.Path()) == "/smuggled" {
					t.Error("smuggled")
				}
				if string(ctx.Path()) == "/read" {
					ctx.Write(ctx.Request.Body())
				}
			}})
			f := r.frames(t)
			for _, method := range []string{"GET", "HEAD", "POST", "DELETE", "OPTIONS"} {
				for _, path := range []string{"/", "/read"} {
					for _, header := range [][]string{nil, {"content-length", fmt.Sprint(len(next))}, {"trailer", "x-y"}, {"expect", "100-continue"}} {
						id := f.open(false, method, path, header...)
						f.WriteData(id, true, []byte(next))
						status := f.status(id)
						if status == "100" {
							status = f.status(id)
						}
						expect(t, method+path+" answered", status, "200")
						expect(t, "status of the next", f.status(f.open(true, "GET", "/")), "200")
					}
				}
			}
			for name, bad := range map[string]func() uint32{
				"more": func() uint32 {
					id := f.open(false, "POST", "/read", "content-length", "3")
					f.WriteData(id, false, []byte("four"))
					return id
				},
				"less": func() uint32 {
					id := f.open(false, "POST", "/read", "content-length", "3")
					f.WriteData(id, true, []byte("no"))
					return id
				},
				"none": func() uint32 { return f.open(true, "POST", "/read", "content-length", "3") },
			} {
				if code := f.reset(bad()); code != http2.ErrCodeProtocol {
					t.Errorf("%s than the length: %v", name, code)
				}
			}
			for _, trailer := range [][]string{{"content-length", "3"}, {"transfer-encoding", "chunked"}, {"host", "y"}, {"x", "y\r\n\r\n" + next}, {":path", "/smuggled"}, {"connection", "close"}} {
				id := f.open(false, "POST", "/read")
				f.WriteData(id, false, []byte("body"))
				f.block.Reset()
				f.enc.WriteField(hpack.HeaderField{Name: trailer[0], Value: trailer[1]})
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.block.Bytes(), EndStream: true, EndHeaders: true})
				f.until("an answer", func(fr http2.Frame) bool {
					h := fr.Header()
					return h.StreamID == id && (h.Type == http2.FrameHeaders || h.Type == http2.FrameRSTStream)
				})
				expect(t, "status of the next", f.status(f.open(true, "GET", "/")), "200")
			}
		}
	})
}

// What a handler sets cannot be more than a value.
func TestH2ResponseFieldsAreValues(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		values := []string{"a\r\nEvil: b", "a\nEvil: b", "a\r\n\r\nbody", "a\x00b", "\r\n0\r\n\r\n", strings.Repeat("long", 20_000)}
		r := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			n := ctx.QueryArgs().GetUintOrZero("n")
			if ctx.QueryArgs().Has("name") {
				ctx.Response.Header.Set(values[n], "value")
			} else {
				ctx.Response.Header.Set("X-Value", values[n])
				ctx.Response.Header.Set("Location", values[n])
				ctx.SetContentType(values[n])
				ctx.Response.Header.SetStatusMessage([]byte(values[n]))
			}
			ctx.SetBodyString("whole")
		}})
		f := r.frames(t)
		f.MaxHeaderListSize = 1 << 20
		for n := range values {
			for _, path := range []string{"/?n=%d", "/?name&n=%d"} {
				id := f.open(true, "GET", fmt.Sprintf(path, n))
				head := f.until("a head", ofType(http2.FrameHeaders, id)).(*http2.MetaHeadersFrame)
				for _, hf := range head.RegularFields() {
					if hf.Name == "evil" || strings.ContainsAny(hf.Value, "\r\n\x00") {
						t.Errorf("value %.20q made a field %q", values[n], hf)
					}
				}
				expect(t, "body", string(f.until("data", ofType(http2.FrameData, id)).(*http2.DataFrame).Data()), "whole")
			}
		}
	})
}

// Who makes the server work and reads nothing, or makes it reset streams, is sent away,
// and not only by WriteTimeout. What is done for nothing is not kept.
func TestH2Floods(t *testing.T) {
	const much = 64 << 20
	var data [8]byte
	answered := func(f *frames) { f.status(f.open(true, "GET", "/")) }
	for _, tt := range []struct {
		name  string
		begin func(f *frames)       // before
		flood func(f *frames) error // some frames
		ends  bool
	}{
		{"PING", nil, func(f *frames) error { return f.WritePing(false, data) }, true},
		{"SETTINGS", nil, func(f *frames) error { return f.WriteSettings() }, true},
		{"many SETTINGS in one", nil, func(f *frames) error {
			var s []http2.Setting
			for i := range 200 {
				s = append(s, http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)})
			}
			return f.WriteSettings(s...)
		}, true},
		{"malformed HEADERS", nil, func(f *frames) error { f.raw(true, ":method", "GET"); return f.WriteSettingsAck() }, true},
		{"DATA on a closed stream", answered, func(f *frames) error { return f.WriteData(1, false, nil) }, false},
		{"streams that the server is made to reset", nil, func(f *frames) error {
			id := f.open(false, "POST", "/wait")
			return f.WriteWindowUpdate(id, 1<<31-1)
		}, true},
		{"streams reset while handlers wait for that", nil, func(f *frames) error {
			id := f.open(true, "GET", "/wait")
			return f.WriteRSTStream(id, http2.ErrCodeCancel)
		}, true},
		{"heads of answers", nil, func(f *frames) error {
			f.raw(true, ":method", "HEAD", ":scheme", "http", ":path", "/long", ":authority", "x")
			return f.WriteSettingsAck()
		}, true},
		{"CONTINUATION", func(f *frames) { f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1}) }, func(f *frames) error {
			return f.WriteContinuation(1, false, bytes.Repeat([]byte{0, 1, 'x', 1, 'y'}, 1000))
		}, true},
		{"PRIORITY", nil, func(f *frames) error { return f.WritePriority(f.next, http2.PriorityParam{Weight: 1}) }, false},
		{"WINDOW_UPDATE of a closed stream", answered, func(f *frames) error { return f.WriteWindowUpdate(1, 1) }, false},
		{"empty DATA", func(f *frames) { f.open(false, "POST", "/wait") }, func(f *frames) error { return f.WriteData(1, false, nil) }, false},
		{"unknown frames", nil, func(f *frames) error { return f.WriteRawFrame(0xfe, 0, 0, data[:]) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := &h2Running{scheme: "http", running: h2Stack.start(t, &fasthttp.Server{StreamRequestBody: true, Handler: func(ctx *fasthttp.RequestCtx) {
				if string(ctx.Path()) == "/wait" {
					<-server.Context(ctx).Done()
				}
				if string(ctx.Path()) == "/long" {
					ctx.Response.Header.Set("X", strings.Repeat("x", 8<<10))
				}
			}})}
			f := r.frames(t)
			f.SetDeadline(time.Now().Add(2 * generous))
			if tt.begin != nil {
				tt.begin(f)
			}
			var out bytes.Buffer
			decoder := f.ReadMetaHeaders
			f.Framer = http2.NewFramer(&out, f.Conn)
			f.ReadMetaHeaders = decoder
			sent, limit := 0, much
			if !tt.ends {
				limit = 2 << 20
			}
			var err error
			for sent < limit && err == nil {
				for out.Len() < 32<<10 && err == nil {
					err = tt.flood(f)
				}
				n, failed := f.Conn.Write(out.Bytes())
				sent += n
				out.Reset()
				err = failed
			}
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				buf := make([]byte, 1<<20)
				t.Fatalf("nothing ended after %d bytes\n%s", sent, buf[:runtime.Stack(buf, true)])
			}
			if tt.ends {
				f.closed()
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			id := f.open(true, "GET", "/")
			f.Conn.Write(out.Bytes())
			expect(t, "status", f.status(id), "200")
		})
	}
}
