//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/escahttp/esca/bench/internal/latency"
)

// result is what a load generator counted.
type result struct {
	Requests int64         `json:"requests"`
	Elapsed  time.Duration `json:"elapsed_ns"`
	Bytes    int64         `json:"bytes"`  // received, of answers still under way at the end too
	Errors   int64         `json:"errors"` // connections that failed or stalled
	Wrong    int64         `json:"wrong"`  // answers that were not the right one, as far as the generator looks
	latency.Percentiles
}

// check tells how what was received during a load cannot have been the answers
// that were checked. Answers to a request on each connection may have been under
// way at the end. Of several answers in turn, the generator has looked at each.
func (r result) check(right []answer, l load) error {
	if r.Wrong > 0 {
		return fmt.Errorf("%d of %d answers under load are wrong", r.Wrong, r.Requests+r.Wrong)
	}
	if r.Requests == 0 {
		return errors.New("not one answer")
	}
	if len(right) > 1 {
		return nil
	}
	size := right[0].size
	want := r.Requests * size
	if r.Bytes < want || r.Bytes > want+int64(l.conns*max(1, l.pipeline, l.streams))*size {
		return fmt.Errorf("%.0f bytes an answer under load, %d when it was checked", float64(r.Bytes)/float64(r.Requests), size)
	}
	return nil
}

func (r result) rps() float64 {
	if r.Elapsed == 0 {
		return 0
	}
	return float64(r.Requests) / r.Elapsed.Seconds()
}

// parseWrk reads the line that conf/wrk-count.lua prints.
func parseWrk(out string) (r result, err error) {
	for line := range strings.Lines(out) {
		if text, ok := strings.CutPrefix(line, "counted "); ok {
			err = json.Unmarshal([]byte(text), &r)
			return r, err
		}
	}
	return r, fmt.Errorf("nothing counted in wrk's output %q", out)
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

// wrkCommand runs one of the scripts in dir.
func wrkCommand(wrk, dir string, p placement, threads int, l load, addr string, d time.Duration) []string {
	// wrk takes whole seconds only.
	seconds := max(1, int(d.Round(time.Second)/time.Second))
	script := "wrk-count.lua"
	if l.pipeline > 1 {
		script = "wrk-pipeline.lua"
	}
	scheme := "http"
	if l.tls {
		scheme = "https"
	}
	// Longer than the pauses of a round: what comes later counts as an error.
	argv := []string{wrk, fmt.Sprintf("-t%d", min(threads, l.conns)), fmt.Sprintf("-c%d", l.conns), fmt.Sprintf("-d%ds", seconds),
		"--timeout", "8s", "-s", dir + "/" + script}
	if l.gzip {
		argv = append(argv, "-H", acceptGzip)
	}
	argv = append(argv, scheme+"://"+addr+l.path)
	if l.pipeline > 1 {
		argv = append(argv, "--", strconv.Itoa(l.pipeline))
	}
	if p == pinned {
		argv = onCPU(loadCPU, argv)
	}
	return argv
}
