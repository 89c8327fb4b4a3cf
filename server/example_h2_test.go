package server_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// Clients that come over TLS get HTTP/2 if they speak it, unless it is turned off;
// WithH2C is for those that come without, as from a proxy.
func ExampleWithH2C() {
	fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("hello\n") }}
	ln, err := conn.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := server.New(fs, server.WithH2C(true))
	go srv.Serve(ln)
	defer srv.Shutdown(context.Background())

	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("http://" + ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Proto, resp.Status)
	// Output:
	// HTTP/2.0 200 OK
}

// HTTP/1.1 only, also over TLS.
func ExampleWithHTTP2() {
	srv := server.New(&fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("hello, as always\n") },
	}, server.WithHTTP2(false))
	log.Fatal(srv.ListenAndServeTLS(":8443", "cert.pem", "key.pem"))
}

// A handler that waits for something waits for its client as well.
func ExampleContext() {
	left := make(chan error)
	fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		gone := server.Context(ctx)
		select {
		case <-gone.Done():
			left <- context.Cause(gone)
		case <-time.After(time.Minute): // a query, or an event
			ctx.SetBodyString("at last\n")
		}
	}}
	ln, err := conn.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := server.New(fs)
	go srv.Serve(ln)
	defer srv.Shutdown(context.Background())

	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: example\r\n\r\n")
	c.Close()
	fmt.Println(<-left)
	// Output:
	// esca: the client has gone
}
