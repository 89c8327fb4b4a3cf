//go:build linux

package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// roundsOf compares two servers over a unix socket, with bench's own generator
// as the load, which really has to pause and to end when it is told to.
func roundsOf(t *testing.T, a, b *server) *outcome {
	t.Helper()
	return testRunner(t, 0).runAll(t.Context(), []comparison{{
		name: "test", placement: free, unix: true, sides: []*server{a, b}, loads: []load{{path: "/", conns: 2, body: []byte("x")}},
	}}, time.Time{})[0]
}

func TestTurns(t *testing.T) {
	right := ok("x")
	out := roundsOf(t, serverOf("a", right), serverOf("b", right))
	rounds, whole := map[string]int{}, map[string]int{}
	for _, s := range out.Runs {
		switch {
		case s.CPU <= 0 || s.requests() == 0 || s.errors() > 0 || s.Checked == 0:
			t.Errorf("%s, round %d: %+v", s.Server, s.Round, s)
		case s.Whole:
			whole[s.Server]++
			if s.Results[0].P50 == 0 || s.Results[0].rps() == 0 {
				t.Errorf("%s: no rate or no latency in %+v", s.Server, s)
			}
		default:
			rounds[s.Server]++
			if s.Results[0].P50 != 0 || s.Results[0].Elapsed != 0 {
				t.Errorf("%s: times with the pauses in them: %+v", s.Server, s)
			}
		}
	}
	for _, name := range []string{"a", "b"} {
		if rounds[name] != 6 || whole[name] != 1 {
			t.Errorf("%s has %d rounds and %d runs without a pause; %v", name, rounds[name], whole[name], out.Sides)
		}
	}
}

// What is right when it is asked and wrong under load is wrong.
func TestTurnsNoticeAWrongAnswer(t *testing.T) {
	right := ok("x")
	later := serverOf("b", strings.Join([]string{right, right, right, ok("y")}, nextResponse))
	out := roundsOf(t, serverOf("a", right), later)
	if p := out.Sides[1].Problem; p.Kind != wrong || !strings.Contains(p.Why, "answers under load are wrong") {
		t.Errorf("b is %q", p)
	}
	for _, s := range out.Runs {
		if s.Server == "b" { // the runs without a pause would notice too, but later
			t.Errorf("b got through round %d", s.Round)
		}
	}
	if out.row("a") == nil || out.row("b") != nil {
		t.Errorf("figures of %+v", out.Rows)
	}
}

// A load generator that ends before it is told to is an error of that side.
func TestTurnsNoticeAnEndedGenerator(t *testing.T) {
	right := ok("x")
	for script, want := range map[string]string{
		"echo unable to connect >&2; exit 1": "unable to connect",
		"exit 0":                             "ended by itself",
	} {
		r := testRunner(t, len(right))
		r.wrk = filepath.Join(t.TempDir(), "wrk")
		if err := os.WriteFile(r.wrk, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		out := r.runAll(t.Context(), []comparison{{
			name: "test", placement: free, sides: []*server{serverOf("a", right)}, loads: []load{{path: "/", conns: 1, body: []byte("x")}},
		}}, time.Time{})[0]
		if p := out.Sides[0].Problem; p.Kind != failed || !strings.Contains(p.Why, want) {
			t.Errorf("%s: %q, want %q", script, p, want)
		}
	}
}

// A load generator that takes long to begin, as on a busy machine, is not told to end
// before it can obey.
func TestTurnsAwaitASlowGenerator(t *testing.T) {
	t.Setenv(testSlow, (5 * shortTurn).String())
	for _, side := range roundsOf(t, serverOf("a", ok("x")), serverOf("b", ok("x"))).Sides {
		if p := side.Problem; p.Kind != "" {
			t.Error(p)
		}
	}
}

// Who has to be stopped may be standing still.
func TestStopOfAStoppedProcess(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := startProcess([]string{"sh", "-c", "trap 'echo ended; exit' TERM; echo started; while :; do sleep 0.01; done"}, environment(), nil, w)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	r.SetReadDeadline(time.Now().Add(time.Minute))
	said := bufio.NewReader(r)
	if line, err := said.ReadString('\n'); line != "started\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := syscall.Kill(p.pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.stop()
	if line, _ := said.ReadString('\n'); line != "ended\n" {
		t.Errorf("it was killed, not asked to end: %q", line)
	}
}
