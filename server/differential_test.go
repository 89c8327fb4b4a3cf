//go:build linux && (amd64 || arm64)

package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// stream is what a client sends: pieces, each a write of its own, and then the
// end of its side.
type stream struct {
	name   string
	pieces []string
}

// streams are a few hundred HTTP/1.x byte streams, good and bad.
func streams() (all []stream) {
	add := func(name string, pieces ...string) { all = append(all, stream{name, pieces}) }
	const host = "Host: x\r\n"
	get := "GET /a?b=c HTTP/1.1\r\n" + host + "User-Agent: t\r\n\r\n"
	post := "POST /p HTTP/1.1\r\n" + host + "Content-Length: 11\r\n\r\nhello world"
	chunked := "POST /c HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: t\r\n\r\n"
	expect := "PUT /e HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 4\r\n\r\nbody"

	for name, s := range map[string]string{"get": get, "post": post, "chunked": chunked, "expect": expect} {
		add(name, s)
		for i := 1; i < len(s); i++ {
			add(fmt.Sprintf("%s split at %d", name, i), s[:i], s[i:])
		}
		for i := range 8 { // half-closed in the middle
			at := len(s) * i / 8
			add(fmt.Sprintf("%s cut at %d", name, at), s[:at])
		}
		add(name+" byte by byte", strings.Split(s, "")...)
		for _, n := range []int{2, 3, 5, 16, 32} {
			add(fmt.Sprintf("%s, %d pipelined", name, n), strings.Repeat(s, n))
		}
		add(name+" then nonsense", s+"nonsense\r\n\r\n"+get)
		add(name+" then its half", s+s[:len(s)/2], s[len(s)/2:])
	}
	add("pipelined mixture", get+post+chunked+strings.Replace(get, "GET", "HEAD", 1)+expect+get)
	add("pipelined, then close", get+"GET /z HTTP/1.1\r\n"+host+"Connection: close\r\n\r\n"+get)
	for i, line := range []string{
		"", "\r\n", "\n", "\r\n\r\n\r\n", "\x00", "GET", "GET ", "GET /", "GET / HTTP/1.1", "GET /  HTTP/1.1\r\n", "GET / HTTP/1.1 \r\n", " GET / HTTP/1.1\r\n",
		"get / HTTP/1.1\r\n", "GET / http/1.1\r\n", "GET / HTTP/1.2\r\n", "GET / HTTP/2.0\r\n", "GET / HTTP/11\r\n", "GET / HTTP/0.9\r\n", "GET /\r\n",
		"G\x00T / HTTP/1.1\r\n", "GET /\x00 HTTP/1.1\r\n", "GET /\xff\xfe HTTP/1.1\r\n", "GET /ü HTTP/1.1\r\n", "GET /a b HTTP/1.1\r\n", "GET\t/\tHTTP/1.1\r\n",
		"OPTIONS * HTTP/1.1\r\n", "GET http://y/abs HTTP/1.1\r\n", "GET //y/p HTTP/1.1\r\n", "CONNECT y:80 HTTP/1.1\r\n", "TRACE / HTTP/1.1\r\n", "BREW / HTTP/1.1\r\n",
		"GET /../../etc HTTP/1.1\r\n", "GET /%2e%2e/x HTTP/1.1\r\n", "GET /%zz HTTP/1.1\r\n", "GET ? HTTP/1.1\r\n", "HEAD / HTTP/1.1\r\n", "PATCH / HTTP/1.1\r\n",
		"GET /" + strings.Repeat("u", 3000) + " HTTP/1.1\r\n", "GET /" + strings.Repeat("u", 9000) + " HTTP/1.1\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		add(fmt.Sprintf("first line %d", i), line)
		add(fmt.Sprintf("first line %d with the rest", i), line+host+"\r\n", get)
	}
	for i, h := range []string{
		"", host + host, "Host:\r\n", "Host: a b\r\n", "Host : x\r\n", " Host: x\r\n", "Host: x\nA: b\r\n", "No colon\r\n", ": empty\r\n", "A\x00B: c\r\n", "A: b\x00c\r\n", "A: b\rc\r\n",
		host + "A: b\r\n  folded\r\n", host + "Content-Length: 5\r\nContent-Length: 5\r\n", host + "Content-Length: 5\r\nContent-Length: 6\r\n",
		host + "Content-Length: +5\r\n", host + "Content-Length: -5\r\n", host + "Content-Length: 5 \r\n", host + "Content-Length: 0x5\r\n", host + "Content-Length: 5, 5\r\n",
		host + "Content-Length: 99999999999999999999\r\n", host + "Content-Length:\r\n", host + "Content-Length : 5\r\n", host + "content-length: 5\r\n",
		host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", host + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", host + "Transfer-Encoding: identity\r\n",
		host + "Transfer-Encoding: gzip, chunked\r\n", host + "Transfer-Encoding: chunked, identity\r\n", host + "Transfer-Encoding : chunked\r\n", host + "Transfer-Encoding:\tchunked\r\n",
		host + "Transfer-Encoding: xchunked\r\n", host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", host + "Transfer-Encoding:\r\n chunked\r\n",
		host + "Expect: 100-continue\r\n", host + "Expect: 200-ok\r\n", host + "Expect: 100-continue\r\nContent-Length: 5\r\n",
		host + "Connection: close\r\n", host + "Connection: keep-alive\r\n", host + "Connection: upgrade\r\nUpgrade: x\r\n", host + "Connection: close, keep-alive\r\n",
		host + "Cookie: " + strings.Repeat("c", 3000) + "\r\n", host + strings.Repeat("H: "+strings.Repeat("h", 100)+"\r\n", 60), host + "If-Modified-Since: x\r\nRange: bytes=0-1\r\n",
	} {
		for _, version := range []string{"1.1", "1.0"} {
			for _, method := range []string{"GET", "POST"} {
				add(fmt.Sprintf("%s %s, headers %d", method, version, i), method+" /h HTTP/"+version+"\r\n"+h+"\r\nhello"+get)
			}
		}
	}
	for i, body := range []string{
		"", "0", "0\r\n", "0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhell\r\n0\r\n\r\n", "5\nhello\n0\n\n", "g\r\nhello\r\n", "-5\r\nhello\r\n", "+5\r\nhello\r\n0\r\n\r\n",
		"0x5\r\nhello\r\n0\r\n\r\n", "05\r\nhello\r\n0\r\n\r\n", " 5\r\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "5;a=\"b\"\r\nhello\r\n0\r\n\r\n", "ffffffffffffffff\r\nx", "fffffffffffffffff\r\nx", "7fffffffffffffff\r\nx",
		"5\r\nhello\r\n0\r\nBad Trailer\r\n\r\n", "5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n", "5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n", "\r\n", "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n",
	} {
		add(fmt.Sprintf("chunks %d", i), "POST /k HTTP/1.1\r\n"+host+"Transfer-Encoding: chunked\r\n\r\n"+body+get)
	}
	for _, n := range []int{4096, 70_000, 300_000} {
		big := strings.Repeat("0123456789", n/10+1)[:n]
		add(fmt.Sprintf("a body of %d", n), fmt.Sprintf("POST /big HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n", host, n), big[:n/2], big[n/2:]+get)
		add(fmt.Sprintf("chunks of %d", n), fmt.Sprintf("POST /big HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", host, n, big)+get)
		add(fmt.Sprintf("an answer of %d", n), fmt.Sprintf("GET /answer?%d HTTP/1.1\r\n%s\r\n", n, host)+get)
	}
	return all
}

// echo answers with all that it was asked, so that what was understood shows.
func echo(ctx *fasthttp.RequestCtx) {
	if bytes.HasPrefix(ctx.Path(), []byte("/answer")) {
		n := 0
		fmt.Sscan(string(ctx.URI().QueryString()), &n)
		ctx.SetBodyString(strings.Repeat("abcdefghij", n/10))
		return
	}
	h := fnv.New64()
	n := 0
	if s := ctx.RequestBodyStream(); s != nil {
		b, err := io.ReadAll(s)
		fmt.Fprintf(ctx, "stream error %v\n", err)
		n = len(b)
		h.Write(b)
	} else {
		n = len(ctx.PostBody())
		h.Write(ctx.PostBody())
	}
	fmt.Fprintf(ctx, "%d: %s %s %s body %d %x\n", ctx.ConnRequestNum(), ctx.Method(), ctx.RequestURI(), ctx.Request.Header.Protocol(), n, h.Sum64())
	for k, v := range ctx.Request.Header.All() {
		fmt.Fprintf(ctx, "%s=%s\n", k, v)
	}
}

var dateHeader = regexp.MustCompile(`Date: [^\r]*`)

// exchange sends s and returns all that comes, less what may differ.
func exchange(addr string, s stream) string {
	c, err := net.Dial("tcp4", addr)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	got := make(chan string)
	go func() {
		b, err := io.ReadAll(c)
		end := ""
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			end = " [" + strings.TrimPrefix(err.Error(), c.LocalAddr().String()) + "]"
		}
		got <- dateHeader.ReplaceAllString(string(b), "Date: -") + end
	}()
	for _, p := range s.pieces {
		if _, err := io.WriteString(c, p); err != nil {
			break // the server has had enough
		}
	}
	c.(*net.TCPConn).CloseWrite()
	return <-got
}

// TestDifferential: the same streams to fasthttp's own server and to ours are
// answered with the same bytes, Date aside.
func TestDifferential(t *testing.T) {
	all := streams()
	if len(all) < 300 {
		t.Fatalf("only %d streams", len(all))
	}
	settings := []struct {
		name string
		set  func(*fasthttp.Server)
	}{
		{"default", func(*fasthttp.Server) {}},
		{"StreamRequestBody", func(fs *fasthttp.Server) { fs.StreamRequestBody = true }},
		{"ReduceMemoryUsage", func(fs *fasthttp.Server) { fs.ReduceMemoryUsage = true }},
		{"MaxRequestsPerConn", func(fs *fasthttp.Server) { fs.MaxRequestsPerConn = 3 }},
		{"DisableKeepalive", func(fs *fasthttp.Server) { fs.DisableKeepalive = true }},
		{"GetOnly", func(fs *fasthttp.Server) { fs.GetOnly = true }},
		{"timeouts and small limits", func(fs *fasthttp.Server) {
			fs.ReadTimeout, fs.WriteTimeout, fs.IdleTimeout = patience, patience, patience
			fs.MaxRequestBodySize, fs.ReadBufferSize = 50_000, 2048
		}},
	}
	if testing.Short() {
		settings = settings[:2]
	}
	for _, set := range settings {
		t.Run(set.name, func(t *testing.T) {
			t.Parallel()
			newServer := func() *fasthttp.Server {
				fs := &fasthttp.Server{Handler: echo, Logger: quiet{}}
				set.set(fs)
				return fs
			}
			ref := newServer()
			ln, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go ref.Serve(ln)
			defer ref.Shutdown()
			want := answers(ln.Addr().String(), all)
			for _, d := range []conn.Dispatch{conn.DispatchAdaptive, conn.DispatchGoroutine} {
				ln, err := conn.Listen("tcp4", "127.0.0.1:0", conn.WithLoops(1), conn.WithDispatch(d))
				if err != nil {
					t.Fatal(err)
				}
				fs := newServer()
				go server.New(fs).Serve(ln)
				defer fs.Shutdown()
				differ := 0
				for i, got := range answers(ln.Addr().String(), all) {
					if got == want[i] {
						continue
					}
					if differ++; differ > 5 {
						break
					}
					t.Errorf("dispatch %d, %s:\nsent     %.300q\nfasthttp %.1000q\nesca     %.1000q", d, all[i].name, all[i].pieces, want[i], got)
				}
			}
		})
	}
}

// answers exchanges all streams, some at a time.
func answers(addr string, all []stream) []string {
	got := make([]string, len(all))
	slots := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i := range all {
		slots <- struct{}{}
		wg.Go(func() {
			got[i] = exchange(addr, all[i])
			<-slots
		})
	}
	wg.Wait()
	return got
}
