package http3_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"

	qhttp3 "github.com/quic-go/quic-go/http3"
	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server/http3"
)

// What fasthttp's handlers cost beside quic-go's own server: client, server and encryption
// are one process, so that it is the difference that says something.
func BenchmarkHTTP3(b *testing.B) {
	for _, size := range []int{100, 1 << 20} {
		answer := pattern(size)
		for name, serve := range map[string]func(*conn.PacketListener) io.Closer{
			"esca": func(pc *conn.PacketListener) io.Closer {
				s := http3.New(&fasthttp.Server{TLSConfig: serverTLS(), Handler: func(ctx *fasthttp.RequestCtx) { ctx.Response.SetBodyRaw(answer) }})
				go s.Serve(pc)
				return s
			},
			"quic-go": func(pc *conn.PacketListener) io.Closer {
				s := &qhttp3.Server{TLSConfig: serverTLS(), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Length", fmt.Sprint(size))
					io.Copy(w, bytes.NewReader(answer))
				})}
				go s.Serve(pc)
				return s
			},
		} {
			b.Run(fmt.Sprintf("%d/%s", size, name), func(b *testing.B) {
				pc, err := conn.ListenPacket("udp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				defer serve(pc).Close()
				tr := &qhttp3.Transport{TLSClientConfig: clientTLS(), DisableCompression: true}
				defer tr.Close()
				c := &http.Client{Transport: tr, Timeout: generous}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					resp, err := c.Get("https://" + pc.LocalAddr().String())
					if err != nil {
						b.Fatal(err)
					}
					if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != int64(size) {
						b.Fatal(n, err)
					}
					resp.Body.Close()
				}
			})
		}
	}
}
