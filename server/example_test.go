package server_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
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
