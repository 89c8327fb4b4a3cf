//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/escahttp/esca/bench/internal/latency"
)

// named is the comparison of the suite with this name.
func named(t *testing.T, name string) comparison {
	t.Helper()
	for _, c := range suite(backends{chosen: "uring", others: []string{"direct"}}) {
		if c.name == name {
			return c
		}
	}
	t.Fatalf("no comparison %s", name)
	return comparison{}
}

// What is asked of esca beside fasthttp, on both backends.
func TestGoalsOfTheSuite(t *testing.T) {
	onBoth := func(of ...string) (all []string) {
		for _, who := range []string{"", "esca on direct: "} {
			for _, g := range of {
				all = append(all, who+g)
			}
		}
		return all
	}
	floor := []string{"CPU µs/request/C epoll loop ≤ 1.2"}
	helloGoals := func(cpu string) []string { return onBoth("CPU µs/request/fasthttp ≤ "+cpu, "p99 ms/fasthttp ≤ 1") }
	want := map[string][]string{
		"hello/free/c1":    helloGoals("0.8"),
		"hello/free/c8":    helloGoals("1"),
		"hello/free/c50":   slices.Concat(floor, helloGoals("0.95")),
		"hello/free/c256":  slices.Concat(floor, helloGoals("0.88")),
		"hello/free/c1000": slices.Concat(floor, helloGoals("0.7")),
		"hello/free/c4000": nil,
		"idle/free":        {"bytes/idle connection ≤ 600"},
		"slowfile":         onBoth("quick p99 ms ≤ 5"),
	}
	for _, procs := range []int{1, 2, 4} {
		for _, load := range []string{"upstream", "spawn", "inprocess", "postgres"} {
			want[fmt.Sprintf("%s/procs%d", load, procs)] = onBoth("p50 ms/fasthttp ≤ 1.1", "p99 ms/fasthttp ≤ 1.1")
		}
		want[fmt.Sprintf("late/procs%d", procs)] = nil
	}
	for name, goals := range want {
		var got []string
		for _, g := range named(t, name).goals {
			got = append(got, g.String())
		}
		if !slices.Equal(got, goals) {
			t.Errorf("%s: %q, want %q", name, got, goals)
		}
	}
}

// The servers are told what their comparison says.
func TestServersAreTold(t *testing.T) {
	shop := &workshop{root: "/root-of-files", dir: "/", made: map[string]error{"/cert.pem": nil}}
	build := func(*workshop) (string, error) { return "server", nil }
	for _, tc := range []struct {
		c    comparison
		want string
	}{
		{comparison{}, "server -runtime fasthttp -addr a:1 -root /root-of-files"},
		{comparison{slow: "x.bin"}, "server -runtime fasthttp -addr a:1 -root /root-of-files -slowfile /root-of-files/x.bin"},
		{comparison{loads: []load{{tls: true}}}, "server -runtime fasthttp -addr a:1 -root /root-of-files -cert /cert.pem -key /key.pem"},
		{comparison{asks: "host=h"}, "server -runtime fasthttp -addr a:1 -root /root-of-files -upstream host=h"},
	} {
		argv, err := started(build, "fasthttp", "")(shop, &tc.c, "a:1")
		if got := strings.Join(argv, " "); got != tc.want || err != nil {
			t.Errorf("%s, %v; want %s", got, err, tc.want)
		}
	}
}

func TestProcs(t *testing.T) {
	for _, tc := range []struct {
		c    comparison
		want string
	}{
		{comparison{placement: free, procs: 4}, "GOMAXPROCS is 4"},
		{comparison{placement: free}, "GOMAXPROCS is its default"},
		{comparison{placement: pinned}, "GOMAXPROCS is 1"},
	} {
		says := &server{name: "says", command: func(*workshop, *comparison, string) ([]string, error) {
			return []string{"sh", "-c", "echo GOMAXPROCS is ${GOMAXPROCS-its default} >&2; exit 1"}, nil
		}}
		if _, err := testRunner(t, 0).start(t.Context(), &tc.c, says); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v, want %s", err, tc.want)
		}
	}
}

// steadyOutcome compares two servers without pauses.
func steadyOutcome(t *testing.T, change func(*comparison)) *outcome {
	t.Helper()
	right := ok("x")
	c := comparison{name: "test", placement: free, steady: true, sides: []*server{serverOf("a", right), serverOf("b", right)},
		loads: []load{{path: "/", conns: 1, body: []byte("x")}}}
	change(&c)
	return testRunner(t, len(right)).runAll(t.Context(), []comparison{c}, time.Time{})[0]
}

// All rounds of a steady comparison are runs without a pause, of which both its
// CPU and its rates are.
func TestSteady(t *testing.T) {
	o := steadyOutcome(t, func(*comparison) {})
	var order []string
	for _, s := range o.Runs {
		if !s.Whole {
			t.Errorf("a run with pauses: %+v", s)
		}
		order = append(order, fmt.Sprint(s.Server, s.Round))
	}
	if got := strings.Join(order, " "); got != "a1 b1 b2 a2" { // one round after each of two starts
		t.Errorf("runs: %s", got)
	}
	for _, r := range o.Rows {
		if r.Primary.Rounds != 2 || len(r.RPS) != 1 || r.RPS[0] <= 0 {
			t.Errorf("%+v", r)
		}
	}
	if !o.Steady || o.Turn != o.Driven || len(o.Rows) != 2 || o.Interrupted {
		t.Errorf("%+v", o)
	}
}

// What servers ask runs while they do, once for each of their starts.
func TestUpstream(t *testing.T) {
	var starts, running atomic.Int32
	var asked []string
	up := &upstream{name: "it", start: func(context.Context, *workshop) (*process, string, error) {
		starts.Add(1)
		running.Add(1)
		p, err := startProcess([]string{"sleep", "600"}, environment(), nil, nil)
		if err == nil {
			go func() {
				<-p.exited
				running.Add(-1)
			}()
		}
		return p, "there", err
	}}
	o := steadyOutcome(t, func(c *comparison) {
		c.upstream = up
		for _, s := range c.sides {
			command := s.command
			s.command = func(w *workshop, c *comparison, addr string) ([]string, error) {
				asked = append(asked, fmt.Sprint(s.name, c.asks, running.Load()))
				return command(w, c, addr)
			}
		}
	})
	if got := strings.Join(asked, " "); starts.Load() != 2 || !strings.HasPrefix(got, "athere1 bthere1 athere") || len(o.Rows) != 2 {
		t.Errorf("%d starts; %s; %+v", starts.Load(), got, o.Sides)
	}
	for running.Load() > 0 { // until it has been waited for
		time.Sleep(time.Millisecond)
	}
}

// Where there is nothing to ask, a comparison is left out, in a line that says
// why; its servers are not what is missing.
func TestUpstreamIsMissing(t *testing.T) {
	for _, tc := range []struct {
		err  error
		kind string
	}{{missingError("it is not installed"), missing}, {errors.New("the port is in use"), failed}} {
		starts := 0
		r := testRunner(t, len(ok("x")))
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.progress = newProgress(write)
		c := comparison{name: "test", placement: free, steady: true, sides: []*server{serverOf("a", ok("x")), missingServer},
			loads: []load{{path: "/", conns: 1, body: []byte("x")}},
			upstream: &upstream{name: "it", start: func(context.Context, *workshop) (*process, string, error) {
				starts++
				return nil, "", tc.err
			}}}
		o := r.runAll(t.Context(), []comparison{c}, time.Time{})[0]
		write.Close()
		said, _ := io.ReadAll(read)
		if p := o.Sides[0].Problem; p.Kind != tc.kind || p.Why != "it: "+tc.err.Error() || o.Sides[1].Problem != p {
			t.Errorf("%+v", o.Sides)
		}
		if n := strings.Count(string(said), "test is left out: it: "+tc.err.Error()); n != 1 || starts != 1 || r.absent["a"] || len(o.Rows) != 0 {
			t.Errorf("said %d times, %d starts, absent are %v:\n%s", n, starts, r.absent, said)
		}
	}
}

// An answer that takes long is checked once, and not while its load runs.
func TestRare(t *testing.T) {
	var requests atomic.Int32
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/rare" {
			requests.Add(1)
		}
		io.WriteString(w, "x")
	}))
	srv := &running{process: &process{exited: make(chan struct{})}, server: &server{name: "a"}, addr: ln.Addr().String()}
	c := &comparison{loads: []load{{path: "/rare", rare: true, body: []byte("x")}, {path: "/", body: []byte("x")}}}
	var reference *answers
	if err := srv.check(c, &reference); err != nil {
		t.Fatal(err)
	}
	if err := srv.askAll(c); err != nil {
		t.Fatal(err)
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestLatenessIsShown(t *testing.T) {
	r := row{P50: []float64{1, 2}, P90: []float64{3, 0}, P99: []float64{4, 5}, P999: []float64{6, 7}}
	if got, want := r.Latencies(), "1.00 / 3.00 / 4.00 / 6.00, 2.00 / - / 5.00 / 7.00"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	r.Late = []float64{0.001, 0.5, 12}
	if got, want := r.Latencies(), "; goroutines late by 0.001 / 0.500 / 12.000 (p50 / p90 / max)"; !strings.HasSuffix(got, want) {
		t.Errorf("%q, want %q at the end", got, want)
	}
	o := outcomeOf(2, 7, 10)
	for i := range o.Runs {
		if o.Runs[i].Whole {
			o.Runs[i].Late = latency.Percentiles{P50: time.Millisecond, P90: 2 * time.Millisecond, Max: 3 * time.Millisecond}
		}
	}
	o.summarize()
	if got := o.Rows[0].Late; !slices.Equal(got, []float64{1, 2, 3}) {
		t.Errorf("%v", got)
	}
}
