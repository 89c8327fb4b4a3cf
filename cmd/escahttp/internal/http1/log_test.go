//go:build unix

package http1

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/cmd/escahttp/internal/accesslog"
	"github.com/escahttp/esca/cmd/escahttp/internal/clients"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// Every answer has its line, with what was sent of it.
func TestAccessLog(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int{"small": 100, "copied": 50_000, "large": 3 << 20} {
		os.WriteFile(filepath.Join(dir, name), pattern(size), 0o644)
	}
	huge, err := os.Create(filepath.Join(dir, "huge"))
	if err != nil {
		t.Fatal(err)
	}
	huge.Truncate(5 << 30)
	huge.Close()
	h, err := static.New(dir, static.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	path := filepath.Join(t.TempDir(), "log")
	access, err := accesslog.Open(path, "common", t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	end := &End{Core: h, Log: access}
	cl := clients.New(clients.Options{PerAddress: 1, Refuse: end.Refuse, Logf: t.Logf})
	fs := &fasthttp.Server{Handler: end.Serve, ErrorHandler: end.Error, ExpectHandler: end.Expect, ConnState: cl.State,
		ReadTimeout: time.Second, ReadBufferSize: 16 << 10, MaxRequestBodySize: 64 << 10}
	ln, err := conn.Listen("tcp", "127.0.0.1:0", conn.WithLoops(1))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.New(fs).Serve(ln) }()

	var want []string
	ask := func(request, line string) {
		t.Helper()
		eventually(t, "the connection before is over", func() bool { return cl.Count() == 0 })
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(30 * time.Second))
		io.WriteString(c, request)
		r := bufio.NewReader(c)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("%q: %v", request, err)
		}
		method, _, _ := strings.Cut(request, " ")
		sent := int64(0)
		if method != "HEAD" {
			sent, _ = io.Copy(io.Discard, resp.Body)
		}
		want = append(want, fmt.Sprintf("%s %d", line, sent))
	}
	get := func(what string) string { return what + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" }
	for _, name := range []string{"small", "copied", "copied", "copied", "large", "nothing"} {
		status := " 200"
		if name == "nothing" {
			status = " 404"
		}
		ask(get("GET /"+name)+"\r\n", `"GET /`+name+` HTTP/1.1"`+status)
		ask(get("HEAD /"+name)+"\r\n", `"HEAD /`+name+` HTTP/1.1"`+status)
	}
	for _, name := range []string{"small", "copied", "large"} {
		ask(get("GET /"+name)+"Range: bytes=5-9\r\n\r\n", `"GET /`+name+` HTTP/1.1" 206`)
		ask(get("GET /"+name)+"Range: bytes=5-9,20-29\r\n\r\n", `"GET /`+name+` HTTP/1.1" 206`)
		ask(get("GET /"+name)+"If-None-Match: *\r\n\r\n", `"GET /`+name+` HTTP/1.1" 304`)
		ask(get("GET /"+name)+"Range: bytes=99999999-\r\n\r\n", `"GET /`+name+` HTTP/1.1" 416`)
	}
	ask(get("POST /x")+"Content-Length: 20000000\r\nExpect: 100-continue\r\n\r\n", `"POST /x HTTP/1.1" 405`)
	ask(get("POST /x")+"Content-Length: 20000000\r\n\r\n", `"POST /x HTTP/1.1" 413`)
	ask("GET / HTTP/1.1\r\n\r\n", `"-" 400`)
	ask("BAD\r\n\r\n", `"-" 400`)
	ask("GET / HTTP/1.1\r\nHost: h\r\nX: "+strings.Repeat("x", 20<<10)+"\r\n\r\n", `"-" 431`)
	ask("GET / HTTP/1.1\r\nHost", `"-" 408`)
	ask("", `"-" 408`)

	// One connection too many.
	eventually(t, "the connection before is over", func() bool { return cl.Count() == 0 })
	first, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first is counted", func() bool { return cl.Count() == 1 })
	second, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(second), nil)
	if err != nil || resp.StatusCode != 429 {
		t.Fatalf("one connection too many: %v, %v", resp, err)
	}
	want = append(want, fmt.Sprintf(`"-" 429 %d`, resp.ContentLength))
	second.Close()

	// A download that is broken off.
	io.WriteString(first, get("GET /huge")+"\r\n")
	if _, err := io.CopyN(io.Discard, first, 1_000_000); err != nil {
		t.Fatal(err)
	}
	first.(*net.TCPConn).SetLinger(0)
	first.Close()

	eventually(t, "all connections are over", func() bool { return cl.Count() == 0 })
	fs.Shutdown()
	<-done
	access.Close(30 * time.Second)
	b, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	form := regexp.MustCompile(`^127\.0\.0\.1 - - \[[^\]]+\] (".*" \d+ \d+)$`)
	for i, l := range lines {
		m := form.FindStringSubmatch(l)
		switch {
		case m == nil:
			t.Errorf("a line of another form: %q", l)
		case i < len(want) && m[1] != want[i]:
			t.Errorf("%s, want %s", m[1], want[i])
		case i == len(want):
			sent, _ := strconv.Atoi(l[strings.LastIndexByte(l, ' ')+1:])
			if !strings.HasPrefix(m[1], `"GET /huge HTTP/1.1" 200 `) || sent < 1_000_000 || sent > 1<<30 {
				t.Errorf("the download that was broken off: %s", l)
			}
		}
	}
	if len(lines) != len(want)+1 {
		t.Errorf("%d lines, want %d", len(lines), len(want)+1)
	}
}

// A bug that panics is a 500, and the next request is served.
func TestPanic(t *testing.T) {
	said := ""
	end := &End{Core: panics{}, Logf: func(f string, args ...any) { said += fmt.Sprintf(f, args...) }}
	var ctx fasthttp.RequestCtx
	ctx.Init(&fasthttp.Request{}, nil, nil)
	for range 2 {
		ctx.Response.Reset()
		end.Serve(&ctx)
		if ctx.Response.StatusCode() != 500 || !strings.Contains(said, "a bug") || !strings.Contains(said, "log_test.go") {
			t.Errorf("%d, said %q", ctx.Response.StatusCode(), said)
		}
	}
}

type panics struct{}

func (panics) Decide(static.Request, *static.Answer) { panic("a bug") }
