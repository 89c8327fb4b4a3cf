//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/escahttp/esca/bench/internal/latency"
)

// handling is a server with one handler.
func handling(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go http.Serve(ln, h)
	return ln.Addr().String()
}

// The server's own clients are started, run for as long as is asked or until it
// is told to end, and have counted.
func TestInside(t *testing.T) {
	for _, told := range []bool{false, true} {
		var mu sync.Mutex // of what requests on different connections use
		var paths []string
		g := generation{Inside: true, Conns: 7, Duration: 30 * time.Millisecond, Asks: []ask{{Size: 100}}, ended: new(atomic.Bool)}
		if told {
			g.Duration = untilTold
		}
		var began time.Time
		g.Addr = handling(t, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			paths = append(paths, r.URL.String())
			if r.URL.Path == "/clients/start" {
				began = time.Now()
				g.ended.Store(told)
				return
			}
			if ran := time.Since(began); !told && ran < g.Duration {
				t.Errorf("they ran for %v", ran)
			}
			fmt.Fprint(w, `{"requests":5,"elapsed_ns":9,"errors":1,"p50_ns":3,"p90_ns":4}`)
		})
		got, err := inside(g)
		want := result{Requests: 5, Elapsed: 9, Errors: 1, Bytes: 500, Percentiles: latency.Percentiles{P50: 3, P90: 4}}
		if err != nil || got != want {
			t.Errorf("%+v, %v", got, err)
		}
		mu.Lock()
		if all := strings.Join(paths, " "); all != "/clients/start?n=7 /clients/stop" {
			t.Errorf("asked: %s", all)
		}
		mu.Unlock()
	}
}

func TestInsideFails(t *testing.T) {
	for _, tc := range []struct{ at, answer, want string }{
		{"/clients/start", "", "GET /clients/start?n=1: 409 Conflict: they run already"},
		{"/clients/stop", "", "GET /clients/stop: 409 Conflict: they run already"},
		{"", "not JSON", "what the clients counted"},
	} {
		addr := handling(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == tc.at {
				http.Error(w, "they run already", http.StatusConflict)
				return
			}
			io.WriteString(w, tc.answer)
		})
		if _, err := inside(generation{Addr: addr, Conns: 1, Duration: time.Millisecond}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v, want %s", err, tc.want)
		}
	}
}

func TestTakeLateness(t *testing.T) {
	srv := &running{addr: answering(t, ok(`{"p50_ns":1,"p90_ns":2,"max_ns":3}`, "Connection: close\r\n"))}
	if got, err := srv.takeLateness(); err != nil || got != (latency.Percentiles{P50: 1, P90: 2, Max: 3}) {
		t.Errorf("%+v, %v", got, err)
	}
	srv.addr = answering(t, ok("Hello", "Connection: close\r\n"))
	if _, err := srv.takeLateness(); err == nil || !strings.Contains(err.Error(), "how late") {
		t.Errorf("%v", err)
	}
}
