package conn_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/escahttp/esca/conn"
)

// net/http, or whatever else takes a net.Listener, serves on loops unchanged.
func ExampleListen() {
	ln, err := conn.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello", r.URL.Path)
	})}
	go srv.Serve(ln)
	defer srv.Close()

	resp, err := http.Get("http://" + ln.Addr().String() + "/net/http")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Print(string(body))
	// Output: hello /net/http
}

// A client of net/http whose connections are on loops, with a limit for connecting.
func ExampleDialer() {
	d := conn.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}}
	client := http.Client{Transport: &http.Transport{DialContext: d.DialContext}}
	defer client.CloseIdleConnections()

	ln, err := conn.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := &http.Server{Handler: http.NotFoundHandler()}
	go srv.Serve(ln)
	defer srv.Close()

	resp, err := client.Get("http://" + ln.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 404 Not Found
}

// Dial is net.Dial; fasthttp.Client.Dial is one line around it, as in package server's
// example of a reverse proxy.
func ExampleDial() {
	ln, err := conn.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, "hello\n")
		c.Close()
	}()

	c, err := conn.Dial("tcp", ln.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	greeting, _ := io.ReadAll(c)
	fmt.Print(string(greeting))
	// Output: hello
}
