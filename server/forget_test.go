//go:build linux && (amd64 || arm64)

package server

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
)

// A handler that ends its goroutine leaves nothing with fasthttp, which would have the
// connection, and all that is reached from there, for ever.
func TestHandlersThatExitLeaveNothing(t *testing.T) {
	certified := httptest.NewTLSServer(http.NotFoundHandler())
	certified.Close() // its certificate is all that is asked of it
	h2 := certified.TLS.Clone()
	h2.NextProtos = []string{"h2"}
	for name, tt := range map[string]struct {
		fs   *fasthttp.Server
		opts []Option
		is   func(*http.Protocols, bool)
		exit string
	}{
		"plain":    {fs: &fasthttp.Server{}, is: (*http.Protocols).SetHTTP1, exit: "GET"},
		"streamed": {fs: &fasthttp.Server{StreamRequestBody: true}, is: (*http.Protocols).SetHTTP1, exit: "POST"},
		"no lines": {fs: &fasthttp.Server{ReduceMemoryUsage: true}, is: (*http.Protocols).SetHTTP1, exit: "GET"},
		"TLS":      {fs: &fasthttp.Server{TLSConfig: certified.TLS.Clone()}, is: (*http.Protocols).SetHTTP1, exit: "GET"},
		"h2":       {fs: &fasthttp.Server{TLSConfig: h2}, is: (*http.Protocols).SetHTTP2, exit: "GET"},
		"h2c":      {fs: &fasthttp.Server{}, opts: []Option{WithH2C(true)}, is: (*http.Protocols).SetUnencryptedHTTP2, exit: "GET"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := tt.fs
			gone := make(chan bool, 10)
			fs.Handler = func(ctx *fasthttp.RequestCtx) {
				if string(ctx.Path()) == "/exit" {
					defer func() { gone <- true }()
					runtime.Goexit()
				}
			}
			s := New(fs, tt.opts...)
			ln, err := conn.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			scheme, serve := "http", func() error { return s.Serve(ln) }
			if fs.TLSConfig != nil {
				scheme, serve = "https", func() error { return s.ServeTLS(ln, "", "") }
			}
			go func() { served <- serve() }()
			tr := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			tt.is(tr.Protocols, true)
			defer tr.CloseIdleConnections()
			c := &http.Client{Transport: tr, Timeout: time.Minute}
			for _, path := range []string{"/", "/exit", "/", "/exit", "/"} {
				method := "GET"
				if path == "/exit" {
					method = tt.exit
				}
				req, _ := http.NewRequest(method, scheme+"://"+ln.Addr().String()+path, nil)
				resp, err := c.Do(req)
				if path == "/exit" {
					<-gone
					if err == nil {
						t.Errorf("an answer: %s", resp.Status)
					}
				} else if err != nil {
					t.Fatal(err)
				}
				if err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}
			s.mu.Lock()
			loops := s.servings[0].loops
			s.mu.Unlock()
			tr.CloseIdleConnections()
			if err := s.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
				left := 0
				for _, ls := range loops {
					left += connections(ls.Server)
				}
				if left == 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d connections are left", left)
				}
			}
		})
	}
}

// connections returns how many connections fs has.
func connections(fs *fasthttp.Server) int {
	v := reflect.ValueOf(fs).Elem()
	mu := (*sync.Mutex)(v.FieldByName("idleConnsMu").Addr().UnsafePointer())
	mu.Lock()
	defer mu.Unlock()
	return v.FieldByName("idleConns").Len()
}
