//go:build linux && (amd64 || arm64)

package server_test

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// FuzzH2 sends frames of any kind behind a preface. Each three bytes of input are the
// type, the flags and the stream of a frame, and a fourth how many of the next are its
// payload; what is left over is sent as it is, and the connection closed behind it. The
// server neither panics nor keeps anything of it, and serves others as before.
func FuzzH2(f *testing.F) {
	head := "\x82\x86\x84\x41\x01x" // GET http / :authority x
	for _, s := range []string{
		"", "\x04\x00\x00\x00", "\x04\x01\x00\x00", "\x04\x00\x00\x06\x00\x04\x00\x00\x00\x00", "\x06\x00\x00\x0812345678",
		"\x01\x05\x01\x06" + head, "\x01\x04\x01\x06" + head + "\x00\x01\x01\x04body", "\x01\x04\x01\x06" + head + "\x00\x09\x01\x04\x02b\x00\x00",
		"\x01\x05\x01\x06" + head + "\x03\x00\x01\x04\x00\x00\x00\x08", "\x01\x00\x01\x03\x82\x86\x84\x09\x04\x01\x03\x41\x01x",
		"\x01\x04\x01\x06" + head + "\x01\x05\x01\x05\x00\x01x\x01y", "\x01\x05\x01\x06" + head + "\x01\x05\x03\x06" + head + "\x07\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00",
		"\x01\x04\x01\x06" + head + "\x08\x00\x01\x04\x7f\xff\xff\xff", "\x08\x00\x00\x04\x7f\xff\xff\xff", "\x02\x00\x01\x05\x00\x00\x00\x01\x00", "\x05\x00\x01\x01\x00", "\xfe\x00\x00\x01x", "\x00\x00",
	} {
		f.Add([]byte(s))
	}
	ln, err := conn.Listen("tcp4", "127.0.0.1:0", conn.WithLoops(1))
	if err != nil {
		f.Fatal(err)
	}
	s := server.New(&fasthttp.Server{Logger: new(lines), StreamRequestBody: true, MaxRequestBodySize: 1 << 20, ReadTimeout: generous, Handler: func(ctx *fasthttp.RequestCtx) {
		if in := ctx.RequestBodyStream(); in != nil {
			io.Copy(ctx, in)
		}
		ctx.Write(ctx.Path())
	}}, server.WithH2C(true))
	go s.Serve(ln)
	f.Cleanup(func() { ln.Close() })
	addr, goroutines := ln.Addr().String(), 0
	f.Fuzz(func(t *testing.T, in []byte) {
		var b bytes.Buffer
		b.WriteString(http2.ClientPreface)
		fr := http2.NewFramer(&b, nil)
		fr.AllowIllegalWrites = true
		fr.WriteSettings()
		for len(in) >= 4 {
			kind, flags, id, n := in[0], in[1], in[2], int(in[3])
			in = in[4:]
			n = min(n, len(in))
			fr.WriteRawFrame(http2.FrameType(kind), http2.Flags(flags), uint32(id), in[:n])
			in = in[n:]
		}
		b.Write(in)
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(generous))
		nc.Write(b.Bytes())
		nc.(*net.TCPConn).CloseWrite()
		frames := http2.NewFramer(nil, nc)
		for err == nil { // what comes back is frames, to the end
			_, err = frames.ReadFrame()
		}
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Fatal("no end")
		}
		nc.Close()
		for start := time.Now(); ; time.Sleep(time.Millisecond) {
			if n := runtime.NumGoroutine() - s.Stats().Workers; s.Stats().Open == 0 && (goroutines == 0 || n <= goroutines+3) {
				goroutines = max(goroutines, n)
				break
			}
			if time.Since(start) > generous {
				buf := make([]byte, 1<<20)
				t.Fatalf("%d connections, %d goroutines, %d at first\n%s", s.Stats().Open, runtime.NumGoroutine(), goroutines, buf[:runtime.Stack(buf, true)])
			}
		}
	})
}
