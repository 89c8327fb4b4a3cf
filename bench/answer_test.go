//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// answering serves every request with the next of the responses, and the last
// of them from then on. It closes a connection after a response that says so.
func answering(t *testing.T, responses ...string) string {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go answerAll(c, responses)
		}
	}()
	return ln.Addr().String()
}

func answerAll(c net.Conn, responses []string) {
	defer c.Close()
	in := bufio.NewReader(c)
	for i := 0; ; i++ {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		response := responses[min(i, len(responses)-1)]
		if _, err := io.WriteString(c, response); err != nil || strings.Contains(response, "Connection: close\r\n") {
			return
		}
	}
}

func ok(body string, header ...string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n%s\r\n%s",
		len(body), strings.Join(header, ""), body)
}

func TestCheckAnswers(t *testing.T) {
	const body = "Hello, World!"
	right := ok(body)
	for _, tc := range []struct {
		name      string
		l         load
		responses []string
		want      string // in the error; empty: none
	}{
		{"right", load{}, []string{right}, ""},
		{"right, pipelined", load{pipeline: 16}, []string{right}, ""},
		{"right, and closed", load{close: true}, []string{ok(body, "Connection: close\r\n")}, ""},
		{"a wrong byte", load{}, []string{ok("Hello, world!")}, "byte 7 of the body is wrong"},
		{"a wrong byte the third time", load{}, []string{right, right, ok("Hello, World?")}, "byte 12"},
		{"a wrong byte in a pipeline", load{pipeline: 2}, []string{right, ok("hello, World!"), right}, "byte 0"},
		{"a short body", load{}, []string{ok("Hello")}, "5 bytes, not 13"},
		{"a long body", load{}, []string{ok(body + body)}, "26 bytes, not 13"},
		{"a body cut off", load{}, []string{strings.TrimSuffix(ok(body, "Connection: close\r\n"), "World!")}, "after 7 bytes of 13"},
		{"an error", load{}, []string{strings.Replace(right, "200 OK", "500 Internal Server Error", 1)}, "status 500"},
		{"an error the second time", load{}, []string{right, strings.Replace(right, "200 OK", "503 Unavailable", 1)}, "status 503"},
		{"no length", load{}, []string{"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body}, "no Content-Length"},
		{"other headers the second time", load{}, []string{right, ok(body, "X-Cache: hit\r\n")}, "X-Cache"},
		{"more than was asked for", load{}, []string{right, right, right + right}, "after the last answer"},
		{"closed too early", load{}, []string{ok(body, "Connection: close\r\n")}, "GET /: "},
		{"not HTTP", load{}, []string{"SSH-2.0-OpenSSH\r\n"}, "malformed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.l.path, tc.l.body = "/", []byte(body)
			got, err := checkAnswers(answering(t, tc.responses...), tc.l)
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if want := int64(len(tc.responses[0])); got.size != want {
					t.Errorf("%d bytes on the wire, want %d", got.size, want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestSidesThatDifferAreRefused(t *testing.T) {
	right := ok("x", "Server: a\r\n", "Etag: \"1\"\r\n")
	for _, tc := range []struct {
		name, other string
		want        string
	}{
		{"who, when and ETag", ok("x", "Server: b\r\n", "Date: now\r\n", "Connection: keep-alive\r\n", "ETag: \"2\"\r\n"), ""},
		{"no ETag", ok("x"), "not answered as by a: header Etag"},
		{"another type", strings.Replace(right, "text/plain", "text/html", 1), "header Content-Type"},
		{"one more", ok("x", "ETag: \"1\"\r\n", "Accept-Ranges: bytes\r\n"), "header Accept-Ranges"},
		{"wrong", ok("y", "ETag: \"1\"\r\n"), "byte 0 of the body is wrong"},
	} {
		c := &comparison{loads: []load{{path: "/", body: []byte("x")}}}
		a := &running{server: &server{name: "a"}, addr: answering(t, right)}
		b := &running{server: &server{name: "b"}, addr: answering(t, tc.other)}
		var reference *answers
		if err := a.check(c, &reference); err != nil {
			t.Fatal(err)
		}
		err := b.check(c, &reference)
		var wrong wrongError
		if tc.want == "" && err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else if tc.want != "" && (!errors.As(err, &wrong) || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: got %v, want an error with %q", tc.name, err, tc.want)
		}
	}
}

// The generator counts what it received, and every answer that is not the right one.
func TestGenerateCounts(t *testing.T) {
	for _, closes := range []bool{true, false} {
		var header []string
		if closes {
			header = []string{"Connection: close\r\n"}
		}
		right := ok("Hello, World!", header...)
		for _, tc := range []struct {
			name, response string
			good, wrong    bool
		}{
			{"right", right, true, false},
			{"an error", strings.Replace(right, "200 OK", "500 No", 1), false, true},
			{"a wrong byte", strings.Replace(right, "Hello", "hello", 1), false, true},
			{"too much", right + "!", false, true},
			{"nothing", "", false, false},
		} {
			g := generation{Addr: answering(t, tc.response), Conns: 4, Close: closes, Duration: 50 * time.Millisecond,
				Asks: []ask{{Request: []byte(load{path: "/"}.request("h")), Size: int64(len(right)), Body: []byte("Hello, World!")}}}
			got, err := generate(g)
			if err != nil {
				t.Fatal(err)
			}
			if (got.Requests > 0) != tc.good || (got.Wrong > 0) != tc.wrong {
				t.Errorf("%s, closes %v: %+v", tc.name, closes, got)
			}
			if tc.good && (got.Bytes < got.Requests*int64(len(right)) || got.P50 == 0 || got.P999 < got.P50) {
				t.Errorf("%s: %+v", tc.name, got)
			}
		}
	}
}

// echoing sends back what it gets, changed by how.
func echoing(t *testing.T, how func([]byte) []byte) string {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 64<<10)
				for {
					n, err := c.Read(b)
					if err != nil {
						return
					}
					c.Write(how(b[:n]))
				}
			}()
		}
	}()
	return ln.Addr().String()
}

func TestEchoCounts(t *testing.T) {
	same := func(b []byte) []byte { return b }
	for _, tc := range []struct {
		name string
		how  func([]byte) []byte
		good bool
	}{
		{"right", same, true},
		{"a wrong byte", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, false},
		{"twice", func(b []byte) []byte { return append(b, b...) }, false},
	} {
		for _, size := range []int{64, 200_000} {
			for _, depth := range []int{1, 16} {
				addr := echoing(t, tc.how)
				var got result
				for d := 50 * time.Millisecond; got.Requests+got.Wrong == 0 && d < time.Minute; d *= 2 { // as long as a busy machine needs
					var err error
					if got, err = echo(generation{Addr: addr, Conns: 3, Duration: d, Echo: size, Pipeline: depth}); err != nil {
						t.Fatal(err)
					}
				}
				if (got.Requests > 0 && got.Wrong == 0) != tc.good || tc.good && got.Bytes < got.Requests*int64(size) {
					t.Errorf("%s, %d bytes, %d under way: %+v", tc.name, size, depth, got)
				}
				if _, err := checkEcho(addr, load{echo: size}); (err == nil) != tc.good && tc.name != "twice" {
					t.Errorf("%s, %d bytes: checked with %v", tc.name, size, err)
				}
			}
		}
	}
}

func TestIdleConnectionsAreAnswered(t *testing.T) {
	l := load{path: "/", body: []byte("x")}
	conns, err := openIdle(t.Context(), answering(t, ok("x")), l, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(conns)
	seen := map[string]bool{}
	for _, c := range conns {
		seen[c.LocalAddr().String()] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d connections, not 100", len(seen))
	}
	if _, err := openIdle(t.Context(), answering(t, ok("y")), l, 100); err == nil {
		t.Error("a wrong answer is not noticed")
	}
}
