//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What was not counted is a dash, never a zero.
func TestCounted(t *testing.T) {
	for _, tc := range []struct {
		kernel, own float64
		want        string
	}{
		{0, 0, "-"},
		{0.284, 0, "0.28"},
		{0.284, 0.279, "0.28 (own 0.28)"},
		{0, 2.071, "- (own 2.07)"},
	} {
		if got := (row{Crossings: tc.kernel, OwnCrossings: tc.own}).Counted(); got != tc.want {
			t.Errorf("%v by the kernel and %v by the server: %q, want %q", tc.kernel, tc.own, got, tc.want)
		}
	}
}

func TestParsePerf(t *testing.T) {
	for _, tc := range []struct {
		name, out string
		want      int64 // -1: an error
	}{
		{"counted", "# started on Tue\n\n1453,,raw_syscalls:sys_enter,1253412,100.00,,\n", 1453},
		{"among others", "12.5,msec,task-clock,12500000,100.00,1.0,CPUs utilized\n7,,raw_syscalls:sys_enter,1,100.00,,\n", 7},
		{"not counted", "<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n", -1},
		{"no such event", "event syntax error: 'raw_syscalls:sys_enter'\n", -1},
		{"nothing", "", -1},
	} {
		got, err := parsePerf(tc.out)
		if err != nil {
			got = -1
		}
		if got != tc.want {
			t.Errorf("%s: %d, %v, want %d", tc.name, got, err, tc.want)
		}
	}
}

// perf that is there counts, or it is said why it cannot.
func TestFindCounter(t *testing.T) {
	for _, tc := range []struct {
		name, script, why string // why: a part of it; empty: it counts
	}{
		{"counts", "echo 145,,raw_syscalls:sys_enter,1253412,100.00,, >&2", ""},
		{"counts nothing", "echo 0,,raw_syscalls:sys_enter,0,100.00,, >&2", "0 system calls"},
		{"not allowed", "echo Access is limited. >&2; exit 255", "Access is limited"},
		{"says nothing", "exit 1", "exit status 1"},
		{"does something else", "echo help", "help"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "perf"), []byte("#!/bin/sh\n"+tc.script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		c := findCounter()
		if (c.perf != "") != (tc.why == "") || !strings.Contains(c.why, tc.why) {
			t.Errorf("perf %s: %+v, want %q", tc.name, c, tc.why)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if c := findCounter(); c.perf != "" || !strings.Contains(c.why, "apt-get install linux-perf") {
		t.Errorf("without perf: %+v", c)
	}
}

// Lines come whole, in whatever pieces they were written.
func TestLineWriter(t *testing.T) {
	lines := make(chan string, 3)
	w := lineWriter(lines)
	for _, piece := range []string{"cross", "ings 4", "2\na\nb", "\nnobody takes it\n"} {
		if n, err := w.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	close(lines)
	var got []string
	for l := range lines {
		got = append(got, l)
	}
	if !slices.Equal(got, []string{"crossings 42", "a", "b"}) {
		t.Errorf("%q", got)
	}
}

// A server's counters come on a line of their own among others.
func TestOwnCrossings(t *testing.T) {
	srv := &running{lines: make(chan string, 4)}
	var err error
	if srv.process, err = startProcess([]string{"sh", "-c", "trap 'echo noise; echo crossings 42' USR1; echo ready; while :; do sleep 0.01; done"},
		environment(), nil, lineWriter(srv.lines)); err != nil {
		t.Fatal(err)
	}
	defer srv.stop()
	<-srv.lines // the trap is set
	if n, err := srv.ownCrossings(t.Context()); n != 42 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	srv.stop()
	if _, err := srv.ownCrossings(t.Context()); err == nil {
		t.Error("a server that has ended has counters")
	}
}
