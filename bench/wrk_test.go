//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const wrkQuiet = `Running 3s test @ http://127.0.0.1:18082/
  1 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   379.06us  798.21us  13.74ms   97.42%
    Req/Sec    98.80k    15.50k  119.10k    70.00%
  Latency Distribution
     50%  246.00us
     75%  312.00us
     90%  480.00us
     99%    3.09ms
  298223 requests in 3.01s, 13.50MB read
Requests/sec:  97967.70
Transfer/sec:     13.83MB
`

const wrkTroubled = `Running 1m test @ http://127.0.0.1:18082/
  2 threads and 256 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.20s   798.21us   1.74s    97.42%
    Req/Sec    98.80      15.50    119.00     70.00%
  Latency Distribution
     50%    1.20s
     75%    1.31s
     90%    1.48s
     99%    1.50m
  12 requests in 1.10m, 512.00B read
  Socket errors: connect 1, read 20, write 300, timeout 4000
  Non-2xx or 3xx responses: 50000
Requests/sec:      4.00
Transfer/sec:    128.00B
`

func TestParseWrk(t *testing.T) {
	for _, tc := range []struct {
		name, out string
		want      result
	}{
		{"us and ms", wrkQuiet, result{
			Requests: 298223, Elapsed: 3010 * time.Millisecond, Bytes: 13.5 * (1 << 20),
			P50: 246 * time.Microsecond, P99: 3090 * time.Microsecond,
		}},
		{"seconds, minutes and errors", wrkTroubled, result{
			Requests: 12, Elapsed: 66 * time.Second, Bytes: 512,
			P50: 1200 * time.Millisecond, P99: 90 * time.Second, Errors: 54321,
		}},
		{"errors of one kind", strings.Replace(wrkQuiet, "Requests/sec", "  Socket errors: connect 0, read 0, write 0, timeout 7\nRequests/sec", 1), result{
			Requests: 298223, Elapsed: 3010 * time.Millisecond, Bytes: 13.5 * (1 << 20),
			P50: 246 * time.Microsecond, P99: 3090 * time.Microsecond, Errors: 7,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parseWrk(tc.out)
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestParseWrkRefuses(t *testing.T) {
	for name, out := range map[string]string{
		"nothing":      "",
		"no total":     strings.Replace(wrkQuiet, "requests in", "", 1),
		"no 99%":       strings.Replace(wrkQuiet, "99%    ", "99.9%", 1),
		"unknown unit": strings.Replace(wrkQuiet, "3.09ms", "3.09parsecs", 1),
	} {
		if r, err := parseWrk(out); err == nil {
			t.Errorf("%s: no error, and %+v", name, r)
		}
	}
}

func TestResultCheck(t *testing.T) {
	l := load{conns: 10}
	for _, tc := range []struct {
		name            string
		requests, bytes int64
		ok              bool
	}{
		{"exact", 10000, 1000000, true},
		{"rounded by wrk", 10000, 1015000, true},
		{"some under way at the end", 100, 10900, true},
		{"half the size", 10000, 500000, false},
		{"twice the size", 10000, 2000000, false},
		{"none", 0, 0, false},
	} {
		r := result{Requests: tc.requests, Bytes: tc.bytes}
		if err := r.check(100, l); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestWrkCommand(t *testing.T) {
	for _, tc := range []struct {
		p          placement
		generators int
		l          load
		want       string
	}{
		{free, 1, load{path: "/", conns: 50}, "wrk --latency -t2 -c50 -d3s http://a:1/"},
		{free, 1, load{path: "/", conns: 1}, "wrk --latency -t1 -c1 -d3s http://a:1/"},
		{free, 2, load{path: "/", conns: 50}, "wrk --latency -t1 -c50 -d3s http://a:1/"},
		{pinned, 1, load{path: "/1k", conns: 50}, "taskset -c 1 wrk --latency -t1 -c50 -d3s http://a:1/1k"},
		{pinned, 1, load{path: "/", conns: 50, pipeline: 16}, "taskset -c 1 wrk --latency -t1 -c50 -d3s -s p.lua http://a:1/ -- 16"},
	} {
		got := wrkCommand("wrk", "p.lua", tc.p, wrkThreads(tc.p, tc.generators), tc.l, "a:1", 3*time.Second)
		if want := strings.Fields(tc.want); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestParsePerf(t *testing.T) {
	const out = "# started on Mon Nov 23 08:57:20 2026\n\n228183,,raw_syscalls:sys_enter,852915633,100.00,,\n"
	if n, err := parsePerf(out); err != nil || n != 228183 {
		t.Errorf("got %d, %v", n, err)
	}
	for _, bad := range []string{"", "<not counted>,,raw_syscalls:sys_enter,0,0.00,,\n"} {
		if n, err := parsePerf(bad); err == nil {
			t.Errorf("%q: no error, and %d", bad, n)
		}
	}
}
