package server_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// The whole change to an application that calls fasthttp.ListenAndServe.
func ExampleListenAndServe() {
	hello := func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("hello\n") }

	log.Fatal(server.ListenAndServe(":8080", hello))
}

// A *fasthttp.Server keeps its settings, and its own Shutdown.
func ExampleNew() {
	fs := &fasthttp.Server{
		Handler:     func(ctx *fasthttp.RequestCtx) { fmt.Fprintf(ctx, "hello %s\n", ctx.Path()) },
		ReadTimeout: 10 * time.Second,
	}
	ln, err := conn.Listen("tcp", "127.0.0.1:0", conn.WithLoops(1))
	if err != nil {
		log.Fatal(err)
	}
	srv := server.New(fs)
	done := make(chan error)
	go func() { done <- srv.Serve(ln) }()

	resp, err := http.Get("http://" + ln.Addr().String() + "/there")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)

	fmt.Println(srv.Shutdown(context.Background()), <-done)
	// Output:
	// 200 OK
	// <nil> <nil>
}

// The whole change to an application that calls gnet.Run.
func ExampleRun() {
	log.Fatal(server.Run(new(echoServer), "tcp://:9000", gnet.WithMulticore(true)))
}

// echoServer is written for gnet alone.
type echoServer struct{ gnet.BuiltinEventEngine }

func (*echoServer) OnTraffic(c gnet.Conn) gnet.Action {
	b, _ := c.Next(-1)
	c.Write(b)
	return gnet.None
}

// OnTraffic may block, if it has goroutines.
func ExampleNewGnet() {
	g := server.NewGnet(new(echoServer), conn.WithDispatch(conn.DispatchGoroutine))
	log.Fatal(g.Run("tcp://:9000"))
}

// Certificates come from files, or from fs.TLSConfig.
func ExampleServer_ListenAndServeTLS() {
	srv := server.New(&fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("hello, safely\n") },
	})
	log.Fatal(srv.ListenAndServeTLS(":8443", "cert.pem", "key.pem"))
}

// A reverse proxy: what goes to clients and what goes to the upstream leaves in the same
// crossing, and a handler that waits for the upstream keeps no loop. Each loop has a
// client of its own, whose connections are on that loop.
func Example_reverseProxy() {
	upstream, err := conn.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.New(&fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) { fmt.Fprintf(ctx, "the upstream has %s", ctx.Path()) },
	}).Serve(upstream)
	defer upstream.Close()

	clients := conn.PerLoop[*fasthttp.HostClient]{New: func() *fasthttp.HostClient {
		return &fasthttp.HostClient{
			Addr: upstream.Addr().String(),
			Dial: func(addr string) (net.Conn, error) { return conn.Dial("tcp", addr) },
		}
	}}
	proxy := func(ctx *fasthttp.RequestCtx) {
		ctx.Request.Header.Del("Connection") // it is between the client and us
		if err := clients.Get().Do(&ctx.Request, &ctx.Response); err != nil {
			ctx.Error(err.Error(), fasthttp.StatusBadGateway)
			return
		}
		ctx.Response.Header.Del("Connection")
	}
	ln, err := conn.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.New(&fasthttp.Server{Handler: proxy}).Serve(ln)
	defer ln.Close()

	_, body, err := fasthttp.Get(nil, "http://"+ln.Addr().String()+"/it")
	fmt.Println(string(body), err)
	// Output: the upstream has /it <nil>
}

// relay passes what clients send on to an upstream, and what that answers back. What one
// side does not take yet is not taken in from the other either.
type relay struct {
	gnet.BuiltinEventEngine
	upstream net.Addr
}

func (r *relay) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	if client, ok := c.SafeContext().(gnet.Conn); ok { // c is the upstream's, registered below
		client.SetSafeContext(c)
		if server.Resume(client) != nil { // it has gone
			return nil, gnet.Close
		}
		return nil, gnet.None
	}
	server.Pause(c) // until there is somewhere to send it
	opened, err := c.EventLoop().Register(gnet.NewContext(context.Background(), c), r.upstream)
	if err != nil {
		return nil, gnet.Close
	}
	go func() {
		if res := <-opened; res.Err != nil {
			c.Close()
		}
	}()
	return nil, gnet.None
}

func (r *relay) OnTraffic(c gnet.Conn) gnet.Action {
	to := c.SafeContext().(gnet.Conn)
	b, _ := c.Next(-1)
	to.Write(b)
	if to.OutboundBuffered() > 256<<10 {
		server.Pause(c)
		server.WhenDrained(to, 64<<10, func(gnet.Conn, error) error { return server.Resume(c) })
	}
	return gnet.None
}

func (r *relay) OnClose(c gnet.Conn, _ error) gnet.Action {
	if to, ok := c.SafeContext().(gnet.Conn); ok {
		to.Close()
	}
	return gnet.None
}

// A relay whose memory is bounded, however fast one side sends and however slowly the
// other reads.
func ExamplePause() {
	upstream := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9001}
	log.Fatal(server.Run(&relay{upstream: upstream}, "tcp://:9000", gnet.WithMulticore(true)))
}

// A certificate that changes without a restart: connections from then on get the new one.
func ExampleRunTLS() {
	var current atomic.Pointer[tls.Certificate]
	load := func() {
		cert, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
		if err != nil {
			log.Print(err) // the one before stays
			return
		}
		current.Store(&cert)
	}
	load()
	go func() {
		for range time.Tick(time.Hour) {
			load()
		}
	}()
	cfg := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return current.Load(), nil
	}}
	log.Fatal(server.RunTLS(new(echoServer), "tcp://:9443", cfg))
}

// patientServer is an echoServer that closes who has said nothing for a minute: moving a
// deadline costs neither a system call nor a timer.
type patientServer struct{ echoServer }

func (s *patientServer) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	c.SetReadDeadline(time.Now().Add(time.Minute))
	return nil, gnet.None
}

func (s *patientServer) OnTraffic(c gnet.Conn) gnet.Action {
	c.SetReadDeadline(time.Now().Add(time.Minute))
	return s.echoServer.OnTraffic(c)
}

// An idle timeout for each connection.
func ExampleGnet_Run() {
	log.Fatal(server.NewGnet(new(patientServer)).Run("tcp://:9000"))
}
