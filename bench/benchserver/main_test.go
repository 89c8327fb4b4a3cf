//go:build linux

package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/escahttp/esca/bench/internal/latency"
	"github.com/escahttp/esca/bench/internal/serving"
)

// What the runtimes are compared by has to be the same on all of them.
func TestRuntimesAnswerAlike(t *testing.T) {
	const hello, file = "Hello, World!", "what is in the file"
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "file.txt"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	asked := serve(t, "net-echo", serving.Config{Addr: "127.0.0.1:0"})
	for _, name := range runtimes.Names() {
		if strings.HasSuffix(name, "-echo") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			s := serve(t, name, serving.Config{Addr: "unix:" + socket, Loops: 1, Root: root, Upstream: asked.addr})
			client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			}}}
			want := map[string]string{"/": hello, "/quick": hello, "/slow": hello}
			if name == "esca" || name == "fasthttp" {
				want["/file.txt"], want["/upstream"], want["/spawn"], want["/late"] = file, hello, hello, hello
			}
			for path, body := range want {
				for range 2 {
					answered(t, client, path, body)
				}
			}
			client.CloseIdleConnections()
			if c, ok := s.Service.(serving.Counting); ok && (c.Crossings() == 0 || !strings.Contains(c.Report(), "Crossings")) {
				t.Errorf("it has counted %d crossings: %s", c.Crossings(), c.Report())
			}
		})
	}
}

// served is a service under test, and where it listens.
type served struct {
	serving.Service
	addr string
}

// serve starts a service, which is to end well with the test.
func serve(t *testing.T, name string, cfg serving.Config) served {
	t.Helper()
	svc, err := runtimes[name](cfg)
	if err != nil {
		t.Fatal(err)
	}
	ended, ready := make(chan error, 1), make(chan string, 1)
	go func() { ended <- svc.Serve(cfg, func(addr string) { ready <- addr }) }()
	var addr string
	select {
	case addr = <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := svc.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return served{svc, addr}
}

// get is the answer to a request that ends its connection.
func (s served) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + s.addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func answered(t *testing.T, client *http.Client, path, want string) {
	t.Helper()
	resp, err := client.Get("http://server" + path)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || string(body) != want || resp.ContentLength != int64(len(body)) {
		t.Errorf("GET %s: %s, length %d, %q", path, resp.Status, resp.ContentLength, body)
	}
	if got := resp.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("GET %s: Content-Type %q", path, got)
	}
}

// onBoth runs a test on the runtimes that have the handlers of fasthttp.
func onBoth(t *testing.T, test func(t *testing.T, name string)) {
	for _, name := range []string{"esca", "fasthttp"} {
		t.Run(name, func(t *testing.T) { test(t, name) })
	}
}

// An upstream that is not there, is gone or answers something else is an error
// of the request, and the next one gets another connection.
func TestUpstreamFails(t *testing.T) {
	onBoth(t, func(t *testing.T, name string) {
		if status, body := serve(t, name, serving.Config{Addr: "127.0.0.1:0"}).get(t, "/upstream"); status != http.StatusBadGateway || !strings.Contains(body, "-upstream") {
			t.Errorf("without one: %d %q", status, body)
		}
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go answerOnceEach(ln, question, strings.ToUpper(question), question)
		s := serve(t, name, serving.Config{Addr: "127.0.0.1:0", Upstream: ln.Addr().String()})
		// One that is right, on a connection that is kept and then closed; one
		// that finds it so; a wrong answer; and a right one again.
		for i, want := range []int{http.StatusOK, http.StatusBadGateway, http.StatusBadGateway, http.StatusOK} {
			if status, body := s.get(t, "/upstream"); status != want {
				t.Errorf("request %d: %d %q, want %d", i, status, body, want)
			}
		}
		ln.Close()
	})
}

// answerOnceEach answers one question on each connection, and closes it when
// there is another.
func answerOnceEach(ln net.Listener, answers ...string) {
	for _, answer := range answers {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		buf := make([]byte, len(question))
		io.ReadFull(c, buf)
		io.WriteString(c, answer)
		io.ReadFull(c, buf)
		c.Close()
	}
}

func TestLateness(t *testing.T) {
	onBoth(t, func(t *testing.T, name string) {
		s := serve(t, name, serving.Config{Addr: "127.0.0.1:0"})
		taken := func() (p latency.Percentiles) {
			status, body := s.get(t, "/late/taken")
			if err := json.Unmarshal([]byte(body), &p); err != nil || status != http.StatusOK {
				t.Fatalf("%d %q, %v", status, body, err)
			}
			return p
		}
		if p := taken(); p != (latency.Percentiles{}) {
			t.Errorf("of no goroutine: %v", p)
		}
		for range 3 {
			s.get(t, "/late")
		}
		p := taken()
		for p.P50 == 0 { // nobody has waited for them
			p = taken()
		}
		if p.P50 > p.Max || p.P90 < p.P50 {
			t.Errorf("%v", p)
		}
	})
}

func TestClients(t *testing.T) {
	onBoth(t, func(t *testing.T, name string) {
		s := serve(t, name, serving.Config{Addr: "127.0.0.1:0"})
		for _, tc := range []struct {
			path   string
			status int
			says   string
		}{
			{"/clients/stop", http.StatusConflict, "no clients run"},
			{"/clients/start", http.StatusBadRequest, "how many"},
			{"/clients/start?n=0", http.StatusBadRequest, "how many"},
			{"/clients/start?n=3", http.StatusOK, helloBody},
			{"/clients/start?n=3", http.StatusConflict, "run already"},
			{"/", http.StatusOK, helloBody},
			{"/clients/stop", http.StatusOK, `"errors":0,"wrong":0`},
			{"/clients/stop", http.StatusConflict, "no clients run"},
			{"/clients/start?n=1", http.StatusOK, helloBody},
		} {
			if status, body := s.get(t, tc.path); status != tc.status || !strings.Contains(body, tc.says) {
				t.Errorf("GET %s: %d %q, want %d and %q", tc.path, status, body, tc.status, tc.says)
			}
		}
		// Stopped before they had asked anything they have counted nothing.
		for got := (count{}); got.Requests == 0; {
			_, body := s.get(t, "/clients/stop")
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatalf("%q: %v", body, err)
			}
			if got.Requests > 0 {
				if got.Elapsed <= 0 || got.P50 <= 0 || got.Max < got.P50 {
					t.Errorf("%+v", got)
				}
				return
			}
			s.get(t, "/clients/start?n=1")
			s.get(t, "/")
		}
	})
}
