//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// counter counts the system calls of a server, by perf, where that is allowed.
type counter struct {
	perf string
	why  string // there is none
}

// sysEnter is the event that a system call is, as perf names it.
const sysEnter = "raw_syscalls:sys_enter"

// findCounter tries whether perf can count system calls here. It is asked, not
// looked for: perf itself mounts what it needs, if it may.
func findCounter() counter {
	perf, err := lookPath("perf", "linux-perf")
	if err != nil {
		return counter{why: err.Error()}
	}
	out, err := exec.Command(perf, "stat", "-x,", "-e", sysEnter, "--", "true").CombinedOutput()
	if err != nil {
		return counter{why: fmt.Sprintf("perf cannot (run bench as root): %v: %s", err, lastLine(string(out)))}
	}
	if n, err := parsePerf(string(out)); err != nil || n == 0 {
		return counter{why: fmt.Sprintf("perf cannot (run bench as root): %d system calls of a command, %v", n, err)}
	}
	return counter{perf: perf}
}

// around is the command line that runs argv while perf counts the system
// calls of the server and its children.
func (c counter) around(argv []string, server int, output string) ([]string, error) {
	tree, err := processTree(server)
	if err != nil {
		return nil, err
	}
	var pids []string
	for _, st := range tree {
		pids = append(pids, fmt.Sprint(st.pid))
	}
	return append([]string{c.perf, "stat", "-x,", "-e", sysEnter,
		"-o", output, "-p", strings.Join(pids, ","), "--"}, argv...), nil
}

// parsePerf reads the count from perf stat -x, output.
func parsePerf(out string) (int64, error) {
	for line := range strings.Lines(out) {
		if !strings.Contains(line, sysEnter) {
			continue
		}
		count, _, _ := strings.Cut(line, ",")
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("perf counted %q system calls", count)
		}
		return n, nil
	}
	return 0, fmt.Errorf("no %s in perf's output %q", sysEnter, lastLine(out))
}

// readCounts takes what perf, and the server itself, have counted.
func (r *runner) readCounts(ctx context.Context, s *sample, srv *running, ownBefore int64, output string) error {
	if srv.server.counts {
		own, err := srv.ownCrossings(ctx)
		if err != nil {
			return err
		}
		s.Own = own - ownBefore
	}
	if r.counter.perf == "" {
		return nil
	}
	text, err := os.ReadFile(output)
	if err != nil {
		return err
	}
	s.Crossings, err = parsePerf(string(text))
	return err
}

// ownCrossings asks the server how often it has crossed into the kernel.
func (srv *running) ownCrossings(ctx context.Context) (int64, error) {
	if err := syscall.Kill(srv.pid(), syscall.SIGUSR1); err != nil {
		return 0, err
	}
	deadline := time.After(answerTimeout)
	for {
		select {
		case line := <-srv.lines:
			if n, ok := strings.CutPrefix(line, "crossings "); ok {
				return strconv.ParseInt(n, 10, 64)
			}
		case <-srv.exited:
			return 0, srv.failure()
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-deadline:
			return 0, errors.New("it does not answer SIGUSR1 with its counters")
		}
	}
}

// lineWriter hands on whole lines; what nobody takes is dropped.
func lineWriter(lines chan<- string) *lineSplitter { return &lineSplitter{lines: lines} }

type lineSplitter struct {
	lines chan<- string
	part  []byte
}

func (w *lineSplitter) Write(p []byte) (int, error) {
	w.part = append(w.part, p...)
	for {
		line, rest, ok := bytes.Cut(w.part, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		select {
		case w.lines <- string(line):
		default:
		}
		w.part = rest
	}
}
