//go:build linux && (amd64 || arm64)

package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// origin is a server of net/http's, for clients whose connections are on loops.
func origin(t *testing.T, withTLS bool) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Write(body)
	})
	mux.HandleFunc("/chunks", func(w http.ResponseWriter, r *http.Request) {
		for i := range 50 {
			fmt.Fprintf(w, "%02d%s", i, strings.Repeat("x", 1000))
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/close", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		io.WriteString(w, "bye")
	})
	mux.HandleFunc("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/never", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s := httptest.NewUnstartedServer(mux)
	s.Config.ErrorLog = nil
	if withTLS {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// ask is one request, by whichever client.
type ask func(method, url string, body []byte) (status int, answer []byte, err error)

func netHTTPClient(t *testing.T, d *conn.Dialer) ask {
	tr := &http.Transport{DialContext: d.DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 8}
	t.Cleanup(tr.CloseIdleConnections)
	c := &http.Client{Transport: tr}
	return func(method, url string, body []byte) (int, []byte, error) {
		ctx := context.Background()
		if strings.HasSuffix(url, "/never") {
			var cancel func()
			ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
		}
		r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
		if err != nil {
			return 0, nil, err
		}
		resp, err := c.Do(r)
		if err != nil {
			return 0, nil, err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		return resp.StatusCode, answer, err
	}
}

func fasthttpClient(t *testing.T, d *conn.Dialer) ask {
	c := &fasthttp.Client{
		Dial:      func(addr string) (net.Conn, error) { return d.Dial("tcp", addr) },
		TLSConfig: &tls.Config{InsecureSkipVerify: true},
	}
	t.Cleanup(c.CloseIdleConnections)
	return func(method, url string, body []byte) (int, []byte, error) {
		req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		defer fasthttp.ReleaseRequest(req)
		defer fasthttp.ReleaseResponse(resp)
		req.Header.SetMethod(method)
		req.SetRequestURI(url)
		req.SetBody(body)
		limit := patience
		if strings.HasSuffix(url, "/never") {
			limit = 50 * time.Millisecond
		}
		err := c.DoTimeout(req, resp, limit)
		return resp.StatusCode(), append([]byte(nil), resp.Body()...), err
	}
}

// fasthttp's client and net/http's do over dialled connections what they always do.
func TestClientsOverDialled(t *testing.T) {
	for _, client := range []struct {
		name string
		new  func(*testing.T, *conn.Dialer) ask
	}{{"net/http", netHTTPClient}, {"fasthttp", fasthttpClient}} {
		for _, withTLS := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/tls=%v", client.name, withTLS), func(t *testing.T) {
				s := origin(t, withTLS)
				do := client.new(t, new(conn.Dialer))
				long := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() {
						for i := range 5 {
							bodies := [][]byte{nil, []byte("short"), long[:100+20_000*i]}
							if i == 0 {
								bodies = append(bodies, long) // eight at once: more of them show no more
							}
							for _, body := range bodies {
								if _, got, err := do("POST", s.URL+"/echo", body); err != nil || !bytes.Equal(got, body) {
									t.Errorf("an echo of %d bytes: %d, %v", len(body), len(got), err)
									return
								}
							}
							if _, got, err := do("GET", s.URL+"/chunks", nil); err != nil || len(got) != 50*1002 || string(got[1002:1004]) != "01" {
								t.Errorf("chunks: %d, %v", len(got), err)
							}
							if _, got, err := do("GET", s.URL+"/close", nil); err != nil || string(got) != "bye" {
								t.Errorf("close: %q, %v", got, err)
							}
						}
					})
				}
				wg.Wait()
				if _, _, err := do("POST", s.URL+"/abort", nil); err == nil {
					t.Error("an answer that was broken off is no error")
				}
				if _, _, err := do("GET", s.URL+"/never", nil); err == nil {
					t.Error("an answer that never comes is no error")
				}
				// The server closes idle connections; the client finds out, and dials anew.
				s.CloseClientConnections()
				if _, got, err := do("GET", s.URL+"/close", nil); err != nil || string(got) != "bye" {
					t.Errorf("after idle connections were closed: %q, %v", got, err)
				}
			})
		}
	}
}

// A reverse proxy whose two sides are on the same loops, with a pool for each loop and
// with one for all, on every dispatch; an idle pool does not keep a Shutdown.
func TestReverseProxyOnLoops(t *testing.T) {
	for _, d := range []struct {
		name string
		mode conn.Dispatch
	}{{"adaptive", conn.DispatchAdaptive}, {"inline", conn.DispatchInline}, {"goroutine", conn.DispatchGoroutine}} {
		for _, shared := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/one pool=%v", d.name, shared), func(t *testing.T) {
				up := origin(t, false)
				newClient := func() *fasthttp.HostClient {
					return &fasthttp.HostClient{
						Addr: strings.TrimPrefix(up.URL, "http://"),
						Dial: func(addr string) (net.Conn, error) { return conn.Dial("tcp", addr) },
					}
				}
				one := newClient()
				pools := conn.PerLoop[*fasthttp.HostClient]{New: func() *fasthttp.HostClient {
					if shared {
						return one
					}
					return newClient()
				}}
				fs := &fasthttp.Server{MaxRequestBodySize: 16 << 20, Handler: func(ctx *fasthttp.RequestCtx) {
					ctx.Request.Header.Del("Connection")
					if err := pools.Get().Do(&ctx.Request, &ctx.Response); err != nil {
						ctx.Error(err.Error(), fasthttp.StatusBadGateway)
					}
					ctx.Response.Header.Del("Connection")
				}}
				ln, err := conn.Listen("tcp", "127.0.0.1:0", conn.WithLoops(2), conn.WithDispatch(d.mode))
				if err != nil {
					t.Fatal(err)
				}
				srv := server.New(fs)
				served := make(chan error, 1)
				go func() { served <- srv.Serve(ln) }()
				url := "http://" + ln.Addr().String()
				do := netHTTPClient(t, new(conn.Dialer))
				long := bytes.Repeat([]byte("0123456789abcdef"), 16<<10)
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() {
						for range 5 {
							for _, body := range [][]byte{[]byte("short"), long} {
								if status, got, err := do("POST", url+"/echo", body); err != nil || !bytes.Equal(got, body) {
									t.Errorf("an echo of %d bytes: %d, %d, %v", len(body), status, len(got), err)
									return
								}
							}
						}
					})
				}
				wg.Wait()
				if st := srv.Stats(); st.Dialled == 0 {
					t.Errorf("nothing was dialled onto the server's loops: %+v", st)
				}
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				if err := errors.Join(srv.Shutdown(ctx), <-served); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
