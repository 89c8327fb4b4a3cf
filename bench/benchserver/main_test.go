package main

import (
	"context"
	"io"
	"net/http"
	"testing"
)

// What the runtimes are compared by has to be the same on all of them.
func TestRuntimesAnswerAlike(t *testing.T) {
	for _, name := range runtimeNames() {
		t.Run(name, func(t *testing.T) {
			svc := runtimes[name]()
			ln, err := svc.Listen(config{addr: "127.0.0.1:0", loops: 1})
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- svc.Serve(ln) }()
			client := &http.Client{Transport: &http.Transport{}}
			for _, path := range []string{"/", "/quick", "/slow", "/"} {
				resp, err := client.Get("http://" + ln.Addr().String() + path)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != http.StatusOK || string(body) != "Hello, World!" || resp.ContentLength != int64(len(body)) {
					t.Errorf("GET %s: %s, length %d, %q", path, resp.Status, resp.ContentLength, body)
				}
				if got := resp.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
					t.Errorf("GET %s: Content-Type %q", path, got)
				}
			}
			client.CloseIdleConnections()
			if err := svc.Shutdown(context.Background()); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if err := <-served; err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
	}
}
