//go:build linux && (amd64 || arm64)

package server_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// Heads that have not come whole are shown, all there is of each; what f says ends the
// request at once. Bodies are not, and what comes whole or in pieces is served.
func TestCheckHeads(t *testing.T) {
	fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.Write(ctx.PostBody()) }, ErrorHandler: func(ctx *fasthttp.RequestCtx, err error) {
		ctx.Error(err.Error(), 400)
	}}
	s := server.New(fs)
	s.CheckHeads(func(head []byte) error {
		if strings.Contains(string(head), "\n\n") {
			return errors.New("bare")
		}
		return nil
	})
	ln, err := conn.Listen("tcp", "127.0.0.1:0", conn.WithLoops(1))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	for _, tt := range []struct {
		pieces []string // each is answered, or more is waited for
		status []int
	}{
		{[]string{"GET / HTTP/1.1\nHost: h\n\n"}, []int{400}},
		{[]string{"GET / HTTP/1.1\nHo", "st: h\n", "\n"}, []int{400}},
		{[]string{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\nHost: h\n\n"}, []int{200, 400}},
		{[]string{"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\nHost: h\n\n"}, []int{200, 400}},
		{[]string{"GET / HTTP/1.1\r\nHo", "st: h\r\n\r\nGET / HTTP/1.1\nHo", "st: h\n\n"}, []int{200, 400}},
		{[]string{"GET / HTTP/1.1\r\nHost: h\r\nContent-length: 2\r\n\r\n\n", "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"}, []int{200, 200}},
		{[]string{"GET / HTTP/1.1\r\nHost: h\r\n\r\nPOST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n\n\n", "a\n", "\n", "b"}, []int{200, 200}},
		{[]string{"GET / HTTP/1.1\r\nHost: h\r\n\r\nPOST / HTTP/1.1\r\nHost: h\r\nContent-", "Length: 6\r\n\r\n", "\n\na\n", "\nb"}, []int{200, 200}},
		{[]string{"GET / HTTP/1.1\r\nHo", "st: h\r\n\r", "\n", "GET / HTTP/1.1\r\nHost: h\r\n", "\r\n"}, []int{200, 200}},
		{[]string{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n", "a\n", "\n", "b\n\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"}, []int{200, 200}},
		{[]string{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n\n\n", "a\n\n", "b"}, []int{200}},
		{[]string{"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r", "\n\r\n"}, []int{200, 200}},
	} {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(30 * time.Second))
		c.(*net.TCPConn).SetNoDelay(true)
		go func() {
			for _, p := range tt.pieces {
				io.WriteString(c, p)
				time.Sleep(time.Millisecond) // so that they come one by one; nothing depends on it
			}
		}()
		r := bufio.NewReader(c)
		for i, want := range tt.status {
			resp, err := http.ReadResponse(r, nil)
			if err != nil || resp.StatusCode != want {
				t.Fatalf("%q: answer %d is %v, %v", tt.pieces, i, resp, err)
			}
			io.Copy(io.Discard, resp.Body)
		}
		c.Close()
	}
	fs.Shutdown()
	<-done
}

// What comes behind the request of a connection that is hijacked is no head.
func TestCheckHeadsOfHijacked(t *testing.T) {
	fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.Hijack(func(c net.Conn) { io.CopyN(c, c, 8) })
	}}
	s := server.New(fs)
	s.CheckHeads(func([]byte) error { return errors.New("no head is incomplete here") })
	ln, err := conn.Listen("tcp", "127.0.0.1:0", conn.WithLoops(1))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\nabcd")
	r := bufio.NewReader(c)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	io.WriteString(c, "efgh")
	if b, err := io.ReadAll(r); string(b) != "abcdefgh" {
		t.Errorf("the hijacker has echoed %q, %v", b, err)
	}
	fs.Shutdown()
	<-done
}
