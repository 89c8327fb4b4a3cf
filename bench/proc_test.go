//go:build linux

package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " S 7 1 1 0 -1 4194560 1 2 3 4 10 20 300 4000 20 0 1 0 5 6 7"
	want := procStat{pid: 42, ppid: 7, used: 30 * tick, waited: 4300 * tick}
	for _, comm := range []string{"nginx", "nginx: worker", "a) S 1 (b", ")", "((", "new\nline"} {
		got, err := parseStat([]byte("42 (" + comm + ")" + rest + "\n"))
		if err != nil {
			t.Errorf("%q: %v", comm, err)
		} else if got != want {
			t.Errorf("%q: got %+v, want %+v", comm, got, want)
		}
	}
	for _, bad := range []string{"", "42 nginx S 7", "x (nginx)" + rest, "42 (nginx) S 7 1 1", "42 (nginx) S 7 1 1 0 -1 0 1 2 3 4 10 20 300", "42 (nginx) S x" + strings.TrimPrefix(rest, " S 7")} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: no error, and %+v", bad, got)
		}
	}
}

func TestParseSteal(t *testing.T) {
	const text = "cpu  100 20 3 50000 60000 70000 80000 4000 5 6\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
	if got, err := parseSteal([]byte(text)); err != nil || got != 4000*tick {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := parseSteal([]byte("cpu  1 2 3\n")); err == nil {
		t.Errorf("no error, and %v", got)
	}
}

// The others are all but the own family and the kernel's threads, with what their
// children took that have ended.
func TestOthersOf(t *testing.T) {
	all := []procStat{
		{pid: 1, used: 1, waited: 2},
		{pid: 2, kernel: true, used: 100},
		{pid: 3, ppid: 2, kernel: true, used: 100},
		{pid: 12, ppid: 11, used: 100}, // of the family, before its parent
		{pid: 10, ppid: 5, used: 100, waited: 100},
		{pid: 11, ppid: 10, used: 100, waited: 100},
		{pid: 5, ppid: 1, used: 4},
		{pid: 20, ppid: 5, used: 8, waited: 16},
	}
	if got := othersOf(10, all); got != 31 {
		t.Errorf("got %d, want 31", got)
	}
	if before, err := othersTime(); err != nil || before < 0 {
		t.Errorf("got %v, %v", before, err)
	}
}

func TestParseRollup(t *testing.T) {
	const text = "55e0-7ffd ---p 00000000 00:00 0    [rollup]\nRss:     11520 kB\nPss:   9000 kB\nPss_Anon: 1 kB\n"
	if n, err := parseRollup([]byte(text)); err != nil || n != 11520<<10 {
		t.Errorf("got %d, %v", n, err)
	}
	if n, err := parseRollup([]byte("Pss: 1 kB\n")); err == nil {
		t.Errorf("no error, and %d", n)
	}
}

// startFamily starts a shell that has a child, and returns when both run. The
// pipe is at its end when neither does any more.
func startFamily(t *testing.T) (*process, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	t.Cleanup(func() { r.Close() })
	r.SetReadDeadline(time.Now().Add(time.Minute))
	p, err := startProcess([]string{"sh", "-c", "sleep 600 2>/dev/null & echo started; wait"}, environment(), nil, w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	if line, err := bufio.NewReader(r).ReadString('\n'); err != nil || line != "started\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	return p, r
}

// The CPU time of a server is that of its whole tree, like nginx's, whose
// master only waits.
func TestProcessTreeHasDescendants(t *testing.T) {
	p, _ := startFamily(t)
	tree, err := processTree(p.pid())
	if err != nil {
		t.Fatal(err)
	}
	if len(tree) != 2 || tree[0].pid != p.pid() || tree[1].ppid != p.pid() {
		t.Errorf("tree of %d is %+v", p.pid(), tree)
	}
	if n, err := residentSize(p.pid()); err != nil || n <= 0 {
		t.Errorf("resident size %d, %v", n, err)
	}
	p.stop()
	if tree, err := processTree(p.pid()); err == nil {
		t.Errorf("a process that has ended has the tree %+v", tree)
	}
}

func TestProcessStopEndsTheGroup(t *testing.T) {
	p, pipe := startFamily(t)
	p.stop()
	if rest, err := io.ReadAll(pipe); err != nil {
		t.Errorf("read %q, then %v: the child of the process still runs", rest, err)
	}
}

func TestAwaitListeningFailsWithTheProcess(t *testing.T) {
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	p, err := startProcess([]string{"sh", "-c", "echo starting >&2; echo 'no such port' >&2; exit 3"}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = p.awaitListening(t.Context(), addr)
	if err == nil || !strings.Contains(err.Error(), "no such port") {
		t.Errorf("got %v, want the last line of its standard error", err)
	}
}

func TestWaitStopsWhenInterrupted(t *testing.T) {
	p, err := startProcess([]string{"sleep", "600"}, environment(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.wait(ctx); err != context.Canceled {
		t.Errorf("got %v", err)
	}
	select {
	case <-p.exited:
	case <-time.After(time.Minute):
		t.Error("it still runs")
	}
}
