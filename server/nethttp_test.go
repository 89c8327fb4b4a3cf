package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/escahttp/esca/conn"
)

// netHTTP serves net/http on listeners of esca, and on one of package net for
// comparison, with HTTP/1.1 in the clear and with HTTP/2 over TLS.
func netHTTP(t *testing.T, handler http.Handler, test func(t *testing.T, base string, client *http.Client, srv *http.Server)) {
	for _, st := range stacks() {
		for _, secure := range []bool{false, true} {
			name := st.name
			if secure {
				name += ", HTTP/2"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ln, err := st.listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				srv := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
				tr := &http.Transport{ExpectContinueTimeout: generous, MaxConnsPerHost: 32}
				base, serve := "http://"+ln.Addr().String(), func() error { return srv.Serve(ln) }
				if secure {
					srv.TLSConfig, tr.TLSClientConfig = serverTLS(t)
					tr.ForceAttemptHTTP2 = true
					base, serve = "https://"+ln.Addr().String(), func() error { return srv.ServeTLS(ln, "", "") }
				}
				done := make(chan error, 1)
				go func() { done <- serve() }()
				t.Cleanup(func() {
					tr.CloseIdleConnections()
					ctx, cancel := context.WithTimeout(context.Background(), generous)
					defer cancel()
					if err := srv.Shutdown(ctx); err != nil {
						t.Errorf("Shutdown: %v", err)
					}
					expectErr(t, "Serve", wait(t, done, "Serve"), http.ErrServerClosed)
				})
				test(t, base, &http.Client{Transport: tr, Timeout: generous}, srv)
			})
		}
	}
}

// fetch sends a request and returns the whole response.
func fetch(t *testing.T, c *http.Client, method, url string, body io.Reader, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("body: %v after %d bytes", err, len(b))
	}
	return resp, b
}

func TestNetHTTP(t *testing.T) {
	size := 16 << 20     // more than the sockets of both sides hold
	if testing.Short() { // such as in an emulated guest, where TLS takes its time
		size = 8 << 20
	}
	big := noise(size)
	sum := func(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
	mux := http.NewServeMux()
	mux.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.Proto, r.RemoteAddr)
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		if _, err := io.Copy(w, r.Body); err != nil {
			t.Errorf("echo: %v", err)
		}
	})
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		if err != nil {
			t.Errorf("upload: %v after %d bytes", err, n)
		}
		fmt.Fprintf(w, "%x", h.Sum(nil))
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(big)))
		w.Write(big)
	})
	mux.HandleFunc("/refuse", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no", http.StatusForbidden)
	})
	netHTTP(t, mux, func(t *testing.T, base string, client *http.Client, _ *http.Server) {
		first := ""
		for range 10 { // over one connection
			_, who := fetch(t, client, "GET", base+"/who", nil)
			if first == "" {
				first = string(who)
			}
			expect(t, "client as the server sees it", string(who), first)
		}
		proto := map[bool]string{true: "HTTP/2.0 ", false: "HTTP/1.1 "}[strings.HasPrefix(base, "https")]
		if !strings.HasPrefix(first, proto) {
			t.Errorf("%q is not %s", first, proto)
		}

		if _, got := fetch(t, client, "GET", base+"/big", nil); sum(got) != sum(big) {
			t.Errorf("download: %d bytes", len(got))
		}
		_, got := fetch(t, client, "POST", base+"/sum", bytes.NewReader(big))
		expect(t, "upload", string(got), sum(big))
		_, got = fetch(t, client, "POST", base+"/sum", io.MultiReader(bytes.NewReader(big))) // in chunks
		expect(t, "chunked upload", string(got), sum(big))

		// In chunks, both ways at a time.
		r, w := io.Pipe()
		req, err := http.NewRequest("POST", base+"/echo", r)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for i := range 100 {
				fmt.Fprintf(w, "chunk %d;", i)
			}
			w.Close()
		}()
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.HasSuffix(string(all), "chunk 99;") || strings.Count(string(all), ";") != 100 {
			t.Errorf("echo: %v, %q", err, all)
		}

		_, got = fetch(t, client, "POST", base+"/sum", bytes.NewReader(big[:100000]), "Expect", "100-continue")
		expect(t, "upload after 100", string(got), sum(big[:100000]))
		resp, _ = fetch(t, client, "POST", base+"/refuse", bytes.NewReader(big[:100000]), "Expect", "100-continue")
		expect(t, "refusal", resp.StatusCode, http.StatusForbidden)
	})
}

func TestNetHTTPConcurrentClients(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Write(b)
	})
	netHTTP(t, h, func(t *testing.T, base string, client *http.Client, _ *http.Server) {
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				body := bytes.Repeat([]byte{byte(i)}, 3000)
				for range 10 {
					resp, err := client.Post(base, "", bytes.NewReader(body))
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || !bytes.Equal(got, body) {
						t.Errorf("client %d: %d bytes, %v", i, len(got), err)
					}
				}
			})
		}
		wg.Wait()
	})
}

// Shutdown closes idle connections and waits for the others.
func TestNetHTTPShutdown(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/block" {
			entered <- true
			<-leave
		}
		fmt.Fprint(w, "whole")
	})
	var oneAtATime sync.Mutex
	netHTTP(t, h, func(t *testing.T, base string, client *http.Client, srv *http.Server) {
		oneAtATime.Lock()
		defer oneAtATime.Unlock()
		fetch(t, client, "GET", base, nil)
		got := make(chan string, 1)
		go func() {
			resp, err := client.Get(base + "/block")
			if err != nil {
				got <- err.Error()
				return
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			got <- string(b)
		}()
		wait(t, entered, "the handler")
		done := make(chan error, 1)
		srv.RegisterOnShutdown(sync.OnceFunc(func() { leave <- true })) // the cleanup shuts down again
		go func() { done <- srv.Shutdown(context.Background()) }()
		expect(t, "answer", wait(t, got, "the answer"), "whole")
		if err := wait(t, done, "Shutdown"); err != nil {
			t.Error(err)
		}
	})
}

func TestNetHTTPHijack(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		ln, err := st.listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(generous)); err != nil {
				t.Error(err)
			}
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
			io.Copy(c, rw)
		})}
		go srv.Serve(ln)
		t.Cleanup(func() { srv.Close() })
		c := (&running{addr: ln.Addr().String()}).dial(t)
		c.send("%sleft over\n", upgrade)
		expect(t, "status", c.head().StatusCode, 101)
		expectLine(t, c.br, "left over\n")
		c.send("more\n")
		expectLine(t, c.br, "more\n")
		c.closeWrite()
		expect(t, "rest", c.rest(), "")
	})
}

// A conn.Listener is a net.Listener.
func TestListenerCloseEndsAccept(t *testing.T) {
	ln, err := conn.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := ln.Accept()
		done <- err
	}()
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	expectErr(t, "Accept", wait(t, done, "Accept"), net.ErrClosed)
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
}
