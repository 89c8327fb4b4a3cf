package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the runtimes are compared by has to be the same on all of them.
func TestRuntimesAnswerAlike(t *testing.T) {
	const hello, file = "Hello, World!", "what is in the file"
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "file.txt"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range runtimeNames() {
		if strings.HasSuffix(name, "-echo") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			svc := runtimes[name](root)
			socket := filepath.Join(t.TempDir(), "s")
			served, ready := make(chan error, 1), make(chan string, 1)
			go func() {
				served <- svc.Serve(config{addr: "unix:" + socket, loops: 1}, func(addr string) { ready <- addr })
			}()
			select {
			case <-ready:
			case err := <-served:
				t.Fatal(err)
			}
			client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			}}}
			want := map[string]string{"/": hello, "/quick": hello, "/slow": hello}
			if name == "esca" || name == "fasthttp" {
				want["/file.txt"] = file
			}
			for path, body := range want {
				for range 2 {
					answered(t, client, path, body)
				}
			}
			client.CloseIdleConnections()
			if c, ok := svc.(counting); ok && (c.Crossings() == 0 || !strings.Contains(c.Report(), "Crossings")) {
				t.Errorf("it has counted %d crossings: %s", c.Crossings(), c.Report())
			}
			if err := svc.Shutdown(context.Background()); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if err := <-served; err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
	}
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
