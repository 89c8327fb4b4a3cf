//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testServer, in the environment, makes the test binary a server on that
// address; testResponse is what it answers.
const (
	testServer   = "ESCA_BENCH_TEST_SERVER"
	testResponse = "ESCA_BENCH_TEST_RESPONSE"
)

func TestMain(m *testing.M) {
	addr := os.Getenv(testServer)
	if addr == "" {
		os.Exit(m.Run())
	}
	ln, err := net.Listen("tcp4", addr)
	if err != nil {
		os.Exit(1)
	}
	for {
		c, err := ln.Accept()
		if err != nil {
			os.Exit(1)
		}
		go answerAll(c, []string{os.Getenv(testResponse)})
	}
}

func serverOf(name, response string) *server {
	return &server{name, func(_ *workshop, _ *comparison, addr string) ([]string, error) {
		return []string{"env", testServer + "=" + addr, testResponse + "=" + response, os.Args[0]}, nil
	}}
}

// fakeWrk is a load generator that always counts a thousand answers of this
// many bytes each.
func fakeWrk(t *testing.T, size int) string {
	t.Helper()
	out := strings.Replace(wrkQuiet, "298223 requests in 3.01s, 13.50MB read",
		fmt.Sprintf("1000 requests in 3.01s, %d000.00B read", size), 1)
	path := filepath.Join(t.TempDir(), "wrk")
	if err := os.WriteFile(path, []byte("#!/bin/sh\ncat <<'EOF'\n"+out+"EOF\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCompare(t *testing.T) {
	const body = "Hello, World!"
	right := ok(body)
	for _, tc := range []struct {
		name, response string
		size           int    // of the answers under load
		want           string // in the error; empty: none
	}{
		{"the same", right, len(right), ""},
		{"a wrong byte", strings.Replace(right, "Hello", "hello", 1), len(right), "refused: b answers wrongly"},
		{"a short body", ok("Hello"), len(right), "refused: b answers wrongly"},
		{"an error", strings.Replace(right, "200 OK", "500 Oops", 1), len(right), "refused: b answers wrongly"},
		{"other headers", ok(body, "Vary: *\r\n"), len(right), "refused: a and b answer GET / differently"},
		{"shorter answers under load", right, len(right) / 2, "refused: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &runner{shop: &workshop{}, wrk: fakeWrk(t, tc.size), rounds: 3, duration: time.Second, warmup: time.Second, progress: io.Discard}
			out := r.compare(t.Context(), comparison{
				name: "test", placement: free,
				a: serverOf("a", right), b: serverOf("b", tc.response),
				loads:   []load{{path: "/", conns: 1, body: []byte(body)}},
				figures: []figure{{metric: cpuPerRequest}},
			})
			if tc.want == "" {
				if out.err != nil || len(out.samples) != 6 {
					t.Errorf("%d samples, %v", len(out.samples), out.err)
				}
				return
			}
			if out.err == nil || !strings.Contains(out.err.Error(), tc.want) {
				t.Errorf("got %v, want %q", out.err, tc.want)
			}
			if len(out.samples) != 0 {
				t.Errorf("it was timed: %+v", out.samples)
			}
		})
	}
}
