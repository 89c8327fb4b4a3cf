package http3_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	qhttp3 "github.com/quic-go/quic-go/http3"
	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
	"github.com/escahttp/esca/server/http3"
)

// One fasthttp.Server on TCP and UDP: clients come by HTTP/1.1 or HTTP/2, are told of
// HTTP/3, and take it the next time. One Shutdown ends both.
func Example() {
	ln, err := conn.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	pc, err := conn.ListenPacket("udp", "127.0.0.1:0") // mostly the same port: ":443"
	if err != nil {
		log.Fatal(err)
	}
	fs := &fasthttp.Server{
		TLSConfig: serverTLS(), // its Certificates, or GetCertificate
		Handler: http3.Announce(func(ctx *fasthttp.RequestCtx) {
			ctx.WriteString("hello\n")
		}, pc.LocalAddr().(*net.UDPAddr).Port),
	}
	go server.New(fs).ServeTLS(ln, "", "")
	go http3.New(fs).Serve(pc)
	defer fs.ShutdownWithContext(context.Background())

	transport := &qhttp3.Transport{TLSClientConfig: clientTLS()}
	defer transport.Close()
	resp, err := (&http.Client{Transport: transport}).Get("https://" + pc.LocalAddr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	fmt.Print(resp.Proto, " ", resp.Status, ": ", string(b))
	// Output:
	// HTTP/3.0 200 OK: hello
}

// HTTP/3 alone.
func ExampleListenAndServeTLS() {
	log.Fatal(http3.ListenAndServeTLS(":8443", "cert.pem", "key.pem", func(ctx *fasthttp.RequestCtx) {
		ctx.WriteString("hello, by QUIC\n")
	}))
}

// What the server of HTTP/1.1 and HTTP/2 tells its clients.
func ExampleAltSvc() {
	fmt.Println(http3.AltSvc(443))
	// Output:
	// h3=":443"; ma=86400
}
