//go:build linux

package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// result is what a load generator counted.
type result struct {
	Requests int64         `json:"requests"`
	Elapsed  time.Duration `json:"elapsed_ns"`
	P50      time.Duration `json:"p50_ns"`
	P99      time.Duration `json:"p99_ns"`
	Bytes    int64         `json:"bytes"`  // received; wrk rounds it to two decimals of its unit
	Errors   int64         `json:"errors"` // socket errors, timeouts, and answers that are not 2xx
}

// check tells how what was received during a load cannot have been the answers
// that were checked, each of size bytes. A request on each connection may have
// been under way at the end.
func (r result) check(size int64, l load) error {
	if r.Requests == 0 {
		return errors.New("not one answer")
	}
	want := float64(r.Requests * size)
	slack := 0.02*want + float64(l.conns*max(1, l.pipeline))*float64(size)
	if got := float64(r.Bytes); math.Abs(got-want) > slack {
		return fmt.Errorf("%.0f bytes an answer under load, %d when it was checked", got/float64(r.Requests), size)
	}
	return nil
}

func (r result) rps() float64 {
	if r.Elapsed == 0 {
		return 0
	}
	return float64(r.Requests) / r.Elapsed.Seconds()
}

var (
	wrkTotal      = regexp.MustCompile(`(?m)^\s*(\d+) requests in ([0-9.]+(?:us|ms|s|m|h)), ([0-9.]+)([KMGTP]?)B read`)
	wrkPercentile = regexp.MustCompile(`(?m)^\s*(50|99)%\s+([0-9.]+(?:us|ms|s|m|h))\s*$`)
	wrkSocket     = regexp.MustCompile(`(?m)^\s*Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	wrkStatus     = regexp.MustCompile(`(?m)^\s*Non-2xx or 3xx responses: (\d+)`)
)

// parseWrk reads what wrk --latency prints. Lines about errors are there only
// when there were any; the others always are.
func parseWrk(out string) (result, error) {
	var r result
	total := wrkTotal.FindStringSubmatch(out)
	if total == nil {
		return r, fmt.Errorf("no total in wrk's output %q", out)
	}
	var err error
	if r.Requests, err = strconv.ParseInt(total[1], 10, 64); err != nil {
		return r, err
	}
	// wrk's units are Go's.
	if r.Elapsed, err = time.ParseDuration(total[2]); err != nil {
		return r, err
	}
	received, err := strconv.ParseFloat(total[3], 64)
	if err != nil {
		return r, err
	}
	// "" is found at 0, a unit at its power of 1024.
	r.Bytes = int64(received * math.Pow(1024, float64(strings.Index("BKMGTP", total[4]))))
	percentiles := wrkPercentile.FindAllStringSubmatch(out, -1)
	if len(percentiles) != 2 {
		return r, fmt.Errorf("no 50%% and 99%% in wrk's output %q", out)
	}
	for _, m := range percentiles {
		d, err := time.ParseDuration(m[2])
		if err != nil {
			return r, err
		}
		if m[1] == "50" {
			r.P50 = d
		} else {
			r.P99 = d
		}
	}
	for _, re := range []*regexp.Regexp{wrkSocket, wrkStatus} {
		m := re.FindStringSubmatch(out)
		for i := 1; i < len(m); i++ {
			n, err := strconv.ParseInt(m[i], 10, 64)
			if err != nil {
				return r, err
			}
			r.Errors += n
		}
	}
	return r, nil
}

// wrkThreads is how many threads each of so many load generators gets. Pinned,
// one, as they have one processor. Free, two in all: with one, wrk itself is
// the bottleneck on a machine of two processors, the server idles between its
// requests, and a Go server's cost of waking threads is counted instead of its
// work (fasthttp at c=50 then takes 12-13 µs a request instead of the 8.7-9.4 it
// takes with two); with more, they and the server take turns on the processors,
// and the latency is the kernel scheduler's.
func wrkThreads(p placement, generators int) int {
	if p == pinned {
		return 1
	}
	return max(1, 2/generators)
}

func wrkCommand(wrk, script string, p placement, threads int, l load, addr string, d time.Duration) []string {
	// wrk takes whole seconds only.
	seconds := max(1, int(d.Round(time.Second)/time.Second))
	argv := []string{wrk, "--latency", fmt.Sprintf("-t%d", min(threads, l.conns)), fmt.Sprintf("-c%d", l.conns), fmt.Sprintf("-d%ds", seconds)}
	if l.pipeline > 1 {
		argv = append(argv, "-s", script)
	}
	argv = append(argv, "http://"+addr+l.path)
	if l.pipeline > 1 {
		argv = append(argv, "--", strconv.Itoa(l.pipeline))
	}
	if p == pinned {
		argv = onCPU(loadCPU, argv)
	}
	return argv
}

// parsePerf reads the count from perf stat -x, output.
func parsePerf(out string) (int64, error) {
	for line := range strings.Lines(out) {
		if !strings.Contains(line, "raw_syscalls:sys_enter") {
			continue
		}
		count, _, _ := strings.Cut(line, ",")
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("perf counted %q system calls", count)
		}
		return n, nil
	}
	return 0, fmt.Errorf("no raw_syscalls:sys_enter in perf's output %q", lastLine(out))
}
