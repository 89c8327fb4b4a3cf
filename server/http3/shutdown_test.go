package http3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
	"github.com/escahttp/esca/server/http3"
)

// A shutdown lets requests finish that are being served, tells their contexts, closes idle
// connections, and Serve returns nil; by the Server's own Shutdown and by fasthttp's.
func TestShutdown(t *testing.T) {
	for name, shutdown := range map[string]func(*running) error{
		"http3's":    func(r *running) error { return r.Shutdown(context.Background()) },
		"fasthttp's": func(r *running) error { return r.fs.Shutdown() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began, finish := make(chan bool), make(chan bool)
			r := start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
				if string(ctx.Path()) != "/long" {
					return
				}
				began <- true
				<-ctx.Done()
				<-server.Context(ctx).Done()
				<-finish
				ctx.SetBody(pattern(1 << 20))
			}})
			idle, _ := r.dial(t)
			busy := client(t)
			got := asked(busy, r.url+"/long")
			within(t, "it is asked", began)
			down := make(chan error, 1)
			go func() { down <- shutdown(r) }()
			within(t, "the idle connection is closed", idle.Context().Done())
			if resp, err := client(t).Get(r.url); err == nil {
				t.Errorf("a client that comes later gets %s", resp.Status)
			}
			select {
			case <-down:
				t.Error("Shutdown does not wait")
			default:
			}
			close(finish)
			if a := within(t, "the answer", got); a.err != nil || !bytes.Equal(a.b, pattern(1<<20)) {
				t.Errorf("%d bytes, %v", len(a.b), a.err)
			}
			if err := within(t, "Shutdown returns", down); err != nil {
				t.Error(err)
			}
			if err := within(t, "Serve returns", r.done); err != nil {
				t.Error(err)
			}
			if pc, err := net.ListenPacket("udp", r.addr); err != nil {
				t.Errorf("the socket is not closed: %v", err)
			} else {
				pc.Close()
			}
		})
	}
}

// Who comes while a server is being stopped, which waits for another, is served or turned
// away, and does not wait as well.
func TestComingToAServerThatStops(t *testing.T) {
	began, finish := make(chan bool), make(chan bool)
	r := start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) == "/long" {
			began <- true
			<-finish
		}
	}})
	long := make(chan error, 1)
	c := client(t)
	go func() {
		resp, err := c.Get(r.url + "/long")
		if err == nil {
			resp.Body.Close()
		}
		long <- err
	}()
	within(t, "it is asked", began)
	var served atomic.Int32
	var wg sync.WaitGroup
	for i := range 60 {
		c := client(t)
		wg.Go(func() {
			resp, err := c.Get(r.url)
			if err == nil {
				resp.Body.Close()
				served.Add(1)
			} else if errors.Is(err, context.DeadlineExceeded) { // QUIC's own time is shorter
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	eventually(t, "some are served", func() bool { return served.Load() > 0 })
	down := make(chan error, 1)
	go func() { down <- r.Shutdown(context.Background()) }()
	wg.Wait()
	close(finish)
	if err := within(t, "the long request", long); err != nil {
		t.Error(err)
	}
	if err := within(t, "Shutdown returns", down); err != nil {
		t.Error(err)
	}
}

// Close does not wait for clients, and a socket that is closed ends Serve.
func TestClose(t *testing.T) {
	for name, end := range map[string]func(*http3.Server, io.Closer){
		"Close":             func(s *http3.Server, _ io.Closer) { s.Close() },
		"the socket closed": func(_ *http3.Server, pc io.Closer) { pc.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := make(chan bool)
			fs := &fasthttp.Server{TLSConfig: serverTLS(), Handler: func(ctx *fasthttp.RequestCtx) {
				began <- true
				<-server.Context(ctx).Done()
			}}
			pc, err := conn.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s, done, failed := http3.New(fs), make(chan error, 1), make(chan error, 1)
			go func() { done <- s.Serve(pc) }()
			c := client(t)
			if name != "Close" {
				c.Timeout = time.Second // nobody tells the client
			}
			go func() {
				resp, err := c.Get("https://" + pc.LocalAddr().String())
				if err == nil {
					resp.Body.Close()
				}
				failed <- err
			}()
			within(t, "it is asked", began)
			end(s, pc)
			if err := within(t, "Serve returns", done); err != nil {
				t.Error(err)
			}
			if err := within(t, "the request fails", failed); err == nil {
				t.Error("it does not")
			}
		})
	}
}

// One fasthttp.Server may be served over TCP and over QUIC; one Shutdown ends both.
func TestBesideTCP(t *testing.T) {
	fs := &fasthttp.Server{TLSConfig: serverTLS(), Handler: func(ctx *fasthttp.RequestCtx) { ctx.WriteString("hello") }}
	ln, err := conn.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := conn.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := pc.LocalAddr().(*net.UDPAddr).Port
	fs.Handler = http3.Announce(fs.Handler, port)
	done := make(chan error, 2)
	go func() { done <- server.New(fs).ServeTLS(ln, "", "") }()
	go func() { done <- http3.New(fs).Serve(pc) }()
	_, pool := certificate()
	cfg := clientTLS()
	cfg.RootCAs, cfg.NextProtos = pool, nil
	tcp := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}, Timeout: generous}
	for addr, c := range map[net.Addr]*http.Client{ln.Addr(): tcp, pc.LocalAddr(): client(t)} {
		resp, b := get(t, c, "https://"+addr.String())
		if b != "hello" || resp.Header.Get("Alt-Svc") != http3.AltSvc(port) {
			t.Errorf("%s: %q, %v", resp.Proto, b, resp.Header)
		}
		c.CloseIdleConnections()
	}
	if err := fs.Shutdown(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := within(t, "Serve returns", done); err != nil {
			t.Error(err)
		}
	}
}
