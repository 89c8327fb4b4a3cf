//go:build linux

package main

import "testing"

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

// Everything that is not to be had says why, with something to do about it.
func TestFindCounter(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if c := findCounter(); c.perf != "" || c.why == "" {
		t.Errorf("without perf: %+v", c)
	}
}

// A server's counters come on a line of their own among others, in any pieces.
func TestOwnCrossings(t *testing.T) {
	srv := &running{lines: make(chan string, 4)}
	var err error
	if srv.process, err = startProcess([]string{"sh", "-c", "trap 'echo noise; printf cross; echo \"ings 42\"' USR1; echo ready; while :; do sleep 0.01; done"},
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
