//go:build linux

package main

import (
	"fmt"
	"html"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// testServer, in the environment, makes the test binary a server on that
// address; testResponse is what it answers: on each connection the responses that
// nextResponse separates, and the last of them from then on.
const (
	testServer   = "ESCA_BENCH_TEST_SERVER"
	testSlow     = "ESCA_BENCH_TEST_SLOW" // how long a generator takes to begin
	testResponse = "ESCA_BENCH_TEST_RESPONSE"
	nextResponse = "\n---\n"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == generateArg {
		if d, err := time.ParseDuration(os.Getenv(testSlow)); err == nil {
			time.Sleep(d) // a machine that is busy
		}
		if err := generateMain(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	addr := os.Getenv(testServer)
	if addr == "" {
		os.Exit(m.Run())
	}
	network, addr := "tcp4", addr
	if path, ok := strings.CutPrefix(addr, unixPrefix); ok {
		network, addr = "unix", path
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		os.Exit(1)
	}
	for {
		c, err := ln.Accept()
		if err != nil {
			os.Exit(1)
		}
		go answerAll(c, strings.Split(os.Getenv(testResponse), nextResponse))
	}
}

// serverOf is a server that is the test binary.
func serverOf(name, response string) *server {
	return &server{name: name, command: func(_ *workshop, _ *comparison, addr string) ([]string, error) {
		return []string{"env", testServer + "=" + addr, testResponse + "=" + response, os.Args[0]}, nil
	}}
}

// fakeWrk is a load generator that always counts a thousand answers of this
// many bytes each, when it is told to or at once.
func fakeWrk(t *testing.T, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wrk")
	script := fmt.Sprintf(`#!/bin/sh
count() { echo 'counted {"requests":1000,"elapsed_ns":1000000000,"bytes":%d}'; exit; }
trap count INT
case "$*" in *-d3600s*) while :; do sleep 0.01; done ;; esac
count
`, 1000*size)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// testRunner times three rounds with a load generator that is none.
func testRunner(t *testing.T, size int) *runner {
	t.Helper()
	return &runner{shop: &workshop{dir: t.TempDir(), made: map[string]error{}}, wrk: fakeWrk(t, size),
		starts: 1, rounds: 3, duration: 2 * shortTurn, whole: time.Second, progress: newProgress(discard(t))}
}

func discard(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// A server that answers wrongly is wrong, not fast; the others go on.
func TestCompare(t *testing.T) {
	const body = "Hello, World!"
	right := ok(body)
	for _, tc := range []struct {
		name, response string
		size           int    // of the answers under load
		kind           string // of b's problem; empty: none
		want           string // in it
	}{
		{"the same", right, len(right), "", ""},
		{"a wrong byte", strings.Replace(right, "Hello", "hello", 1), len(right), wrong, "byte 0"},
		{"a short body", ok("Hello"), len(right), wrong, "5 bytes, not 13"},
		{"an error", strings.Replace(right, "200 OK", "500 Oops", 1), len(right), wrong, "status 500"},
		{"other headers", ok(body, "Vary: *\r\n"), len(right), wrong, "not answered as by a"},
		{"shorter answers under load", right, len(right) / 2, wrong, "bytes an answer under load"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := testRunner(t, tc.size).runAll(t.Context(), []comparison{{
				name: "test", placement: free, sides: []*server{serverOf("a", right), serverOf("b", tc.response), missingServer},
				loads: []load{{path: "/", conns: 1, body: []byte(body)}},
			}}, time.Time{})[0]
			if p := out.Sides[1].Problem; p.Kind != tc.kind || !strings.Contains(p.Why, tc.want) {
				t.Errorf("b is %q, want %s: %s", p, tc.kind, tc.want)
			}
			if p := out.Sides[2].Problem; p.Kind != missing {
				t.Errorf("what is not installed is %q", p)
			}
			rows := map[string]bool{}
			for _, r := range out.Rows {
				rows[r.Server] = true
			}
			if rows["b"] != (tc.kind == "") || rows["a"] != (tc.size == len(right)) || rows[missingServer.name] {
				t.Errorf("figures of %v", rows)
			}
		})
	}
}

// Every comparison has a start before any has its second.
func TestRunAll(t *testing.T) {
	right := ok("x")
	var order []string
	var chosen []comparison
	for _, name := range []string{"pinned", "free", "idle"} {
		s := serverOf("a", right)
		command := s.command
		s.command = func(shop *workshop, c *comparison, addr string) ([]string, error) {
			order = append(order, c.name)
			return command(shop, c, addr)
		}
		c := comparison{name: name, placement: free, sides: []*server{s}, loads: []load{{path: "/", conns: 1, body: []byte("x")}}}
		switch name {
		case "pinned":
			c.placement = pinned
		case "idle":
			c.idle = 1
		}
		chosen = append(chosen, c)
	}
	outcomes := testRunner(t, len(right)).runAll(t.Context(), chosen, time.Time{})
	if got := strings.Join(order, " "); got != "pinned free idle free" {
		t.Errorf("started: %s", got)
	}
	for i, want := range []int{3, 6, 1} {
		if o := outcomes[i]; o.Name != chosen[i].name || len(o.Rows) != 1 || o.Rows[0].Primary.Rounds != want || o.Interrupted {
			t.Errorf("%s: %+v of %d rounds", o.Name, o.Rows, want)
		}
	}
}

// What is reported after an interrupt: what has run, and what could not.
func TestRunAllInterrupted(t *testing.T) {
	right := ok("x")
	of := func(name string, sides ...*server) comparison {
		return comparison{name: name, placement: free, sides: sides, loads: []load{{path: "/", conns: 1, body: []byte("x")}}}
	}
	second := serverOf("a", right)
	ctx, stop := contextOfStarts(t, second, 2)
	defer stop()
	r := testRunner(t, len(right))
	r.rounds = 1
	var got []string
	for _, o := range r.runAll(ctx, []comparison{of("first", serverOf("a", right)), of("none", missingServer), of("second", second), of("third", serverOf("a", right))}, time.Time{}) {
		got = append(got, fmt.Sprintf("%s %d %v", o.Name, len(o.timed("a", cpuPerRequest)), o.Interrupted))
	}
	// The third's second start did not come; nor did the second's end.
	if want := []string{"first 2 false", "none 0 false", "second 1 true", "third 1 true"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	never := serverOf("a", right)
	ctx, stop = contextOfStarts(t, never, 1)
	defer stop()
	if all := r.runAll(ctx, []comparison{of("never", never), of("nor this", never)}, time.Time{}); len(all) != 0 {
		t.Errorf("reported is %v, of which nothing ran", all)
	}
}

var missingServer = &server{name: "missing", command: func(*workshop, *comparison, string) ([]string, error) {
	return nil, missingError("it is not installed")
}}

// A server that does not start is one line, and the rest goes on: with new
// processes, and without what was given up.
func TestCompareGoesOn(t *testing.T) {
	right := ok("x")
	starts := map[string]int{}
	counted := func(s *server) *server {
		command := s.command
		s.command = func(shop *workshop, c *comparison, addr string) ([]string, error) {
			starts[s.name]++
			return command(shop, c, addr)
		}
		return s
	}
	ends := counted(&server{name: "ends", command: func(*workshop, *comparison, string) ([]string, error) {
		return []string{"sh", "-c", "echo the port is in use >&2; exit 1"}, nil
	}})
	out := testRunner(t, len(right)).runAll(t.Context(), []comparison{{
		name: "test", placement: free, sides: []*server{ends, counted(serverOf("b", right))}, loads: []load{{path: "/", conns: 1, body: []byte("x")}},
	}}, time.Time{})[0]
	if p := out.Sides[0].Problem; p.Kind != failed || !strings.Contains(p.Why, "the port is in use") || strings.Contains(p.Why, "\n") {
		t.Errorf("the first is %q", p)
	}
	if starts["ends"] != 1 || starts["b"] != 2 {
		t.Errorf("%d starts of what ends, %d of the other", starts["ends"], starts["b"])
	}
	if rounds := out.timed("b", cpuPerRequest); len(rounds) != 6 || len(out.Runs) != 6+1 || out.Rounds != 6 {
		t.Errorf("the second has %d rounds in %d runs, of %d", len(rounds), len(out.Runs), out.Rounds)
	}
}

// The report has every chart, every comparison and every condition, and nothing
// that a browser would have to fetch.
func TestReport(t *testing.T) {
	rep := &report{Machine: thisMachine("its own"), Switch: modeSwitch{180}, Guest: "guest's table"}
	for i, k := range chartKinds {
		for x := range 2 {
			o := outcomeOf(5, 7, 10)
			o.Name, o.Family, o.X, o.Conditions = fmt.Sprintf("test/%d/%d", i, x), k.family, float64(x+1), "conditions <of> it"
			o.Sides = append(o.Sides, side{Server: "c", Problem: problem{missing, "not installed"}})
			o.summarize()
			rep.Outcomes = append(rep.Outcomes, o)
		}
	}
	dir := t.TempDir()
	if err := rep.write(dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, want := range []string{"guest&#39;s table", "conditions &lt;of&gt; it", "c: missing: not installed", "180 ns", "CPU µs/request/b ≤ 0.75: met"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := strings.Count(text, "<svg"); n != len(chartKinds) {
		t.Errorf("%d charts, want %d", n, len(chartKinds))
	}
	for _, k := range chartKinds {
		svg, err := os.ReadFile(filepath.Join(dir, k.file()))
		if err != nil || !strings.HasPrefix(string(svg), "<svg") || !strings.Contains(text, html.EscapeString(k.title)) {
			t.Errorf("%s: %.20s, %v", k.title, svg, err)
		}
	}
	for _, fetched := range []string{"src=", "<link", "<script", "url("} {
		if strings.Contains(text, fetched) {
			t.Errorf("the page has a %s", fetched)
		}
	}
	// What an earlier run has left makes the same report.
	again, err := readReport(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.publish(t.TempDir()); err != nil {
		t.Error(err)
	}
	// One point is no line: it has no chart, above all not one at 1, which a plot
	// would widen to values that have no logarithm.
	// Interrupted before the second comparison had a run without a pause: of
	// rates there is one point, and that is no line.
	for _, o := range rep.Outcomes {
		if o.X == 2 {
			o.Runs = slices.DeleteFunc(o.Runs, func(s sample) bool { return s.Whole })
			o.summarize()
		}
	}
	charts, err := rep.charts()
	if err != nil || len(charts) == 0 || slices.ContainsFunc(charts, func(c chart) bool { return strings.Contains(c.File, "throughput") }) {
		t.Errorf("%d charts, %v", len(charts), err)
	}
	if charts, err := (&report{Outcomes: rep.Outcomes[:1]}).charts(); err != nil || len(charts) != 0 {
		t.Errorf("%d charts of one comparison, %v", len(charts), err)
	}
	var out strings.Builder
	printTable(&out, rep)
	if !strings.Contains(out.String(), "c: missing: not installed") || !strings.Contains(out.String(), "0.700 (0.700-0.700)") {
		t.Errorf("the table is\n%s", out.String())
	}
}
