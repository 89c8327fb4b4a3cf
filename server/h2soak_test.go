//go:build linux && (amd64 || arm64)

package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
)

// Many streams at once, bodies both ways, readers that are slow, and streams reset in
// the middle, in the clear and over TLS: what arrives is what was sent. ESCA_H2_SOAK=5m goes on for so long.
func TestH2Soak(t *testing.T) {
	long, _ := time.ParseDuration(os.Getenv("ESCA_H2_SOAK"))
	srv, cfg := serverTLS(t)
	for _, backend := range []string{"direct", "uring"} {
		for _, d := range []struct {
			name  string
			mode  conn.Dispatch
			loops int
		}{{"inline", conn.DispatchInline, 1}, {"goroutines", conn.DispatchGoroutine, 2}} {
			for _, streamed := range []bool{false, true} {
				for _, secure := range []bool{false, true} {
					name := backend + "-" + d.name + map[bool]string{true: ", streamed"}[streamed] + map[bool]string{true: ", TLS"}[secure]
					t.Run(name, func(t *testing.T) {
						st := h2On(name, conn.WithLoops(d.loops), conn.WithDispatch(d.mode), conn.WithBackend(backend))
						fs, r := &fasthttp.Server{StreamRequestBody: streamed, Handler: hashed(streamed)}, &h2Running{scheme: "http"}
						if secure {
							fs.TLSConfig, r.scheme, r.tls = srv.Clone(), "https", cfg.Clone()
						}
						r.running = st.start(t, fs)
						soak(t, r, long/16)
					})
				}
			}
		}
	}
}

// hashed answers with the hash of what came, in a field, and with what the query asks
// for.
func hashed(streamed bool) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		sum := sha256.New()
		if !streamed {
			sum.Write(ctx.PostBody())
		} else if _, err := io.Copy(sum, ctx.RequestBodyStream()); err != nil {
			return
		}
		ctx.Response.Header.Set("X-Got", hex.EncodeToString(sum.Sum(nil)))
		n := ctx.QueryArgs().GetUintOrZero("n")
		body := noise(n + n%251)[n%251:] // not the beginning of another
		own := sha256.Sum256(body)
		ctx.Response.Header.Set("X-Sent", hex.EncodeToString(own[:]))
		if ctx.QueryArgs().Has("streamed") {
			ctx.SetBodyStream(bytes.NewReader(body), -1)
			return
		}
		ctx.SetBody(body)
	}
}

// soak sends for so long, and at least some.
func soak(t *testing.T, r *h2Running, long time.Duration) {
	const clients, each = 2, 12
	until := time.Now().Add(long)
	var wg sync.WaitGroup
	for range clients {
		c := r.client(t, 2)
		for range each {
			wg.Go(func() {
				for i := 0; i < 8 || time.Now().Before(until); i++ {
					soakOne(t, r, c)
				}
			})
		}
	}
	wg.Wait()
}

func soakOne(t *testing.T, r *h2Running, c *http.Client) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	body := noise(rand.IntN(1 << (4 + rand.IntN(15))))
	body = body[rand.IntN(len(body)+1):] // not the beginning of another
	var sent io.Reader = bytes.NewReader(body)
	if rand.IntN(2) == 0 {
		sent = unsized{sent}
	}
	cut := rand.IntN(5)
	if cut == 0 { // while it sends
		sent = io.MultiReader(sent, readerFunc(func([]byte) (int, error) { cancel(); return 0, context.Canceled }))
		sent = unsized{sent}
	}
	n := rand.IntN(1 << (4 + rand.IntN(16)))
	path := "/?n=" + strconv.Itoa(n)
	if rand.IntN(2) == 0 {
		path += "&streamed"
	}
	req, err := http.NewRequestWithContext(ctx, "POST", r.url(path), sent)
	if err != nil {
		t.Error(err)
		return
	}
	resp, err := c.Do(req)
	if cut == 0 {
		if err == nil {
			resp.Body.Close()
		}
		return
	}
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	if cut == 1 { // while it receives
		io.CopyN(io.Discard, resp.Body, int64(n/2))
		return
	}
	var in io.Reader = resp.Body
	if cut == 2 { // slowly, by small pieces
		in = readerFunc(func(p []byte) (int, error) { return resp.Body.Read(p[:min(len(p), 1000)]) })
	}
	sum := sha256.New()
	got, err := io.Copy(sum, in)
	want := sha256.Sum256(body)
	if err != nil || int(got) != n || resp.Header.Get("X-Sent") != hex.EncodeToString(sum.Sum(nil)) {
		t.Errorf("received %d bytes of %d, %v", got, n, err)
	}
	if resp.Header.Get("X-Got") != hex.EncodeToString(want[:]) {
		t.Errorf("a body of %d bytes has become another", len(body))
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
