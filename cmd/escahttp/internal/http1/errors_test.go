//go:build unix

package http1

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/cmd/escahttp/internal/accesslog"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// Requests that cannot be served are answered at once, without being asked for
// their body.
func TestRefusals(t *testing.T) {
	onBoth(t, static.Options{}, func(t *testing.T, s *site) {
		s.write(t, "a.txt", []byte("hello"))
		s.write(t, "big.bin", pattern(3<<20))
		s.settled(t, "/big.bin")
		for _, tt := range []struct {
			name, request string
			status        int
		}{
			{"expected and long", "POST /a.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\nExpect: 100-continue\r\n\r\n", 405},
			{"expected and short", "POST /a.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", 405},
			{"expected, of a GET", "GET /a.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", 200},
			{"expected, of a large file", "GET /big.bin HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", 200},
			{"expected, chunked", "PUT /a.txt HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n", 405},
			{"long", "POST /a.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n", 413},
			{"long, of a GET", "GET /a.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n", 413},
			{"long, chunked", "POST /a.txt HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n" + strings.Repeat("x", 0x20000), 413},
			{"short", "POST /a.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", 405},
			{"header too large", "GET /a.txt HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n", 431},
			{"malformed", "BAD\r\n\r\n", 400},
			{"no host", "GET /a.txt HTTP/1.1\r\n\r\n", 400},
			{"two lengths", "GET /a.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
			{"half a request", "GET /a.txt HTTP/1.1\r\nHost: h\r\nX-", 400},
		} {
			c, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			c.SetDeadline(time.Now().Add(30 * time.Second))
			io.WriteString(c, tt.request)
			if tt.name == "half a request" {
				c.(*net.TCPConn).CloseWrite()
			}
			r := bufio.NewReader(c)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			n, err := io.Copy(io.Discard, resp.Body)
			if resp.StatusCode != tt.status || err != nil || n != resp.ContentLength {
				t.Errorf("%s: %s, %d of %d bytes, %v; want %d", tt.name, resp.Status, n, resp.ContentLength, err, tt.status)
			}
			if tt.status != 405 || strings.HasPrefix(tt.name, "expected") {
				if !resp.Close {
					t.Errorf("%s: the connection is kept", tt.name)
				}
			}
			c.Close()
		}
	})
}

// A file without a size is chunked, and to a client that knows no chunks ends with
// the connection.
func TestStreams(t *testing.T) {
	const name = "/kallsyms"
	want, err := os.ReadFile("/proc" + name)
	if err != nil || len(want) < 100_000 {
		t.Skip("needs a large file of Linux's /proc")
	}
	h, err := static.New("/proc", static.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	ln, err := conn.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	end := &End{Core: h}
	fs := &fasthttp.Server{Handler: end.Serve}
	done := make(chan error, 1)
	go func() { done <- server.New(fs).Serve(ln) }()
	for _, proto := range []string{"1.1", "1.0"} {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(30 * time.Second))
		io.WriteString(c, "GET "+name+" HTTP/"+proto+"\r\nHost: h\r\nConnection: close\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if string(b) != string(want) || err != nil || (len(resp.TransferEncoding) > 0) != (proto == "1.1") {
			t.Errorf("HTTP/%s: %d of %d bytes, %v, %v", proto, len(b), len(want), err, resp.TransferEncoding)
		}
		c.Close()
	}
	eventually(t, "nothing is gathered", func() bool { return end.gathering.n.Load() == 0 })
	// Clients that do not take it cannot have more of it in memory than is allowed.
	var stalled []net.Conn
	for status := 200; status == 200; {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		stalled = append(stalled, c)
		c.SetDeadline(time.Now().Add(30 * time.Second))
		io.WriteString(c, "GET "+name+" HTTP/1.0\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
		if err != nil {
			t.Fatal(err)
		}
		if status = resp.StatusCode; status != 200 && (status != 503 || resp.Header.Get("Retry-After") == "") {
			t.Errorf("answer %d: %s", len(stalled), resp.Status)
		}
		if len(stalled) > int(allGathered)/len(want)+1 {
			t.Fatalf("%d clients have %d bytes each", len(stalled), len(want))
		}
	}
	for _, c := range stalled {
		c.Close()
	}
	eventually(t, "nothing is gathered", func() bool { return end.gathering.n.Load() == 0 })
	fs.Shutdown()
	<-done
}

// tlsSite serves a folder over TLS.
func tlsSite(t *testing.T, log string) (addr string, cfg *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"h"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "a.txt"), []byte("hello"), 0o644)
	os.WriteFile(filepath.Join(dir, "big.bin"), pattern(3<<20), 0o644)
	h, err := static.New(dir, static.Options{})
	if err != nil {
		t.Fatal(err)
	}
	access, err := accesslog.Open(log, "common", t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	end := &End{Core: h, Log: access}
	fs := &fasthttp.Server{Handler: end.Serve, ErrorHandler: end.Error, ExpectHandler: end.Expect,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}
	ln, err := conn.Listen("tcp", "127.0.0.1:0", conn.WithLoops(1))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.New(fs).ServeTLS(ln, "", "") }()
	t.Cleanup(func() {
		fs.Shutdown()
		<-done
		access.Close(30 * time.Second)
		h.Close()
	})
	return ln.Addr().String(), &tls.Config{InsecureSkipVerify: true}
}

// A request in the clear where TLS is spoken is told so; noise gets nothing.
func TestPlainRequestToATLSPort(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	addr, cfg := tlsSite(t, log)
	for _, tt := range []struct{ send, want string }{
		{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "speaks TLS"}, {"POST /x HTTP/1.1\r\nHost: h\r\n\r\n", "speaks TLS"},
		{"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "speaks TLS"}, {"\x00\x01\x02\x03\x04\x05", ""}, {"SSH-2.0-x\r\n", ""},
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(30 * time.Second))
		io.WriteString(c, tt.send)
		b, _ := io.ReadAll(c)
		if !strings.Contains(string(b), tt.want) || (tt.want != "") != strings.HasPrefix(string(b), "HTTP/1.1 400 ") {
			t.Errorf("%q: %q", tt.send, b)
		}
		c.Close()
	}
	for _, path := range []string{"a.txt", "big.bin"} {
		c := http.Client{Transport: &http.Transport{TLSClientConfig: cfg}}
		resp, err := c.Get("https://" + addr + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		// (A file written just now goes without a length.)
		if err != nil || resp.ContentLength >= 0 && int64(len(b)) != resp.ContentLength || path == "big.bin" && string(b) != string(pattern(3<<20)) {
			t.Errorf("%s over TLS: %s, %d bytes, %v", path, resp.Status, len(b), err)
		}
		resp.Body.Close()
		c.CloseIdleConnections()
	}
	eventually(t, "the log has a line for each answer", func() bool {
		b, _ := os.ReadFile(log)
		return strings.Count(string(b), `"-" 400 `) == 3 && strings.Count(string(b), " 200 5\n") == 1 && strings.Count(string(b), " 200 3145728\n") == 1 &&
			strings.Count(string(b), "\n") == 5
	})
}
