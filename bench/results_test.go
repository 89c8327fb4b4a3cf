//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// measured is a report of loads by these names.
func measured(names ...string) *report {
	rep := &report{Machine: machine{CPU: "a CPU", Processors: 2, Kernel: "6.1", Go: "go1.26", Commit: "abc123", Network: "its own",
		Started: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}}
	for _, name := range names {
		o := outcomeOf(5, 7*time.Millisecond, 10*time.Millisecond)
		o.Name, o.Conditions = name, "conditions of "+name
		o.summarize()
		rep.Outcomes = append(rep.Outcomes, o)
	}
	return rep
}

// A run replaces the parts of what it has measured, and nothing else.
func TestWriteResults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "RESULTS.md")
	order := []string{"first", "second", "third"}
	write := func(rep *report) string {
		t.Helper()
		if err := rep.writeResults(path, order); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	text := write(measured("third"))
	for _, want := range []string{"# Results", "## third", "conditions of third", "2026-11-27 12:00 UTC", "esca abc123", "a CPU, 2 processors, Linux 6.1",
		"| a | - | 7 | 1.000 (1.000-1.000) |", "| b | - | 10 | 0.700 (0.700-0.700) |", "5 rounds after"} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
	// What people have written stays.
	if err := os.WriteFile(path, []byte(strings.Replace(text, "<!-- bench third", "Older figures.\n\n<!-- bench third", 1)+"\nAn end.\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	text = write(measured("first"))
	at := func(what string) int {
		i := strings.Index(text, what)
		if i < 0 || strings.Count(text, what) != 1 {
			t.Errorf("%q is there %d times:\n%s", what, strings.Count(text, what), text)
		}
		return i
	}
	if !(at("# Results\n") < at("Older figures.") && at("Older figures.") < at("## first") && at("## first") < at("## third") && at("## third") < at("An end.")) {
		t.Errorf("the order is\n%s", text)
	}
	again := measured("third")
	again.Outcomes[0].Conditions = "others"
	interrupted := measured("first").Outcomes[0]
	interrupted.Interrupted, interrupted.Conditions = true, "half of it"
	unmeasured := &outcome{Name: "second", Sides: []side{{Server: "a", Problem: problem{missing, "not there"}}}}
	again.Outcomes = append(again.Outcomes, interrupted, unmeasured)
	before := text
	text = write(again)
	if want := strings.Replace(before, "conditions of third", "others", 1); text != want {
		t.Errorf("it is\n%s\nwant\n%s", text, want)
	}
	second := measured("second")
	second.Outcomes[0].Sides = append(second.Outcomes[0].Sides, side{Server: "c", Problem: problem{missing, "not installed"}})
	second.Outcomes[0].Sides = append(second.Outcomes[0].Sides, side{Server: "nginx, no tcp_nopush"}, side{Server: "fasthttp"}, side{Server: "h2o", Problem: problem{failed, "it ends"}})
	second.Machine.Modules, second.Machine.Nginx, second.Machine.H2O = []string{"github.com/valyala/fasthttp v1.2", "github.com/panjf2000/gnet/v2 v2.3"}, "nginx/1", "h2o/2"
	second.Outcomes[0].Sides[0].Threads, second.Outcomes[0].Sides[1].Threads = 2, 1
	text = write(second)
	if !(at("## first") < at("## second") && at("## second") < at("## third")) {
		t.Errorf("the order is\n%s", text)
	}
	for _, want := range []string{"esca abc123; fasthttp v1.2, nginx/1; a CPU", "Without c, missing: not installed.", "Not the same number of threads: a 2, b 1.", "| a | 2 | 7 |"} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
}

// A file that somebody has spoilt is not spoilt more.
func TestWriteResultsRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "RESULTS.md")
	text := partBegin("first") + "\nno end\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := measured("first").writeResults(path, []string{"first"}); err == nil || !strings.Contains(err.Error(), "no end") {
		t.Errorf("got %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != text {
		t.Errorf("it is %q", got)
	}
}

// Every load runs by itself within a minute.
func TestEachLoadFitsIntoAMinute(t *testing.T) {
	for _, c := range suite(backends{chosen: "uring", others: []string{"direct"}}) {
		r := &runner{starts: 2, rounds: 8, duration: 200 * time.Millisecond, whole: time.Second, counter: counter{perf: "perf"}}
		r.fit([]comparison{c}, aMinute)
		if took := r.estimate(&c, 0); took > aMinute {
			t.Errorf("%s takes %v, with %d starts and %d rounds", c.name, took, r.starts, r.rounds)
		}
	}
}

// Sides are given the same number of threads where they take any.
func TestThreads(t *testing.T) {
	pin, two := comparison{placement: pinned}, comparison{placement: free, procs: 2}
	for _, tc := range []struct {
		c    comparison
		s    *server
		want int
	}{
		{pin, nginx, 1}, {pin, fasthttpServer, 1}, {two, nginx, 2}, {two, fasthttpServer, 2}, {two, h2o, 2}, {two, caddy, 2}, {two, lighttpd, 2},
		{two, epollLoop, 1}, {two, esca("uring"), 2}, {comparison{placement: free, procs: 2, loops: 1}, esca("uring"), 1},
	} {
		if got := tc.s.threadsOf(&tc.c); got != tc.want {
			t.Errorf("%s has %d threads, want %d, with %+v", tc.s.name, got, tc.want, tc.c)
		}
	}
}
