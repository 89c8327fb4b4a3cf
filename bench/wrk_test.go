//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/escahttp/esca/bench/internal/latency"
)

// counted is what conf/wrk-count.lua prints, after what wrk does.
const counted = `Running 3s test @ http://127.0.0.1:18082/
298223 requests in 3.01s, 13.50MB read

counted {"requests":298223,"elapsed_ns":3010000000,"bytes":14155776,"errors":7,"wrong":3,"p50_ns":246000,"p90_ns":700000,"p99_ns":3090000,"p999_ns":5000000,"max_ns":6000000}
`

func TestParseWrk(t *testing.T) {
	want := result{Requests: 298223, Elapsed: 3010 * time.Millisecond, Bytes: 14155776, Errors: 7, Wrong: 3,
		Percentiles: latency.Percentiles{P50: 246 * time.Microsecond, P90: 700 * time.Microsecond, P99: 3090 * time.Microsecond,
			P999: 5 * time.Millisecond, Max: 6 * time.Millisecond}}
	if got, err := parseWrk(counted); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "counted {", "298223 requests"} {
		if r, err := parseWrk(bad); err == nil {
			t.Errorf("%q: no error, and %+v", bad, r)
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
		{"more than can have been under way", 10000, 1015000, false},
		{"some under way at the end", 100, 10900, true},
		{"half the size", 10000, 500000, false},
		{"twice the size", 10000, 2000000, false},
		{"none", 0, 0, false},
	} {
		r := result{Requests: tc.requests, Bytes: tc.bytes}
		if err := r.check([]answer{{size: 100}}, l); (err == nil) != tc.ok {
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
		{free, 1, load{path: "/", conns: 50}, "wrk -t2 -c50 -d3s --timeout 8s -s dir/wrk-count.lua http://a:1/"},
		{free, 1, load{path: "/", conns: 1}, "wrk -t1 -c1 -d3s --timeout 8s -s dir/wrk-count.lua http://a:1/"},
		{free, 2, load{path: "/", conns: 50}, "wrk -t1 -c50 -d3s --timeout 8s -s dir/wrk-count.lua http://a:1/"},
		{pinned, 1, load{path: "/1k", conns: 50}, "taskset -c 1 wrk -t1 -c50 -d3s --timeout 8s -s dir/wrk-count.lua http://a:1/1k"},
		{pinned, 1, load{path: "/", conns: 50, pipeline: 16}, "taskset -c 1 wrk -t1 -c50 -d3s --timeout 8s -s dir/wrk-pipeline.lua http://a:1/ -- 16"},
	} {
		got := wrkCommand("wrk", "dir", tc.p, wrkThreads(tc.p, tc.generators), tc.l, "a:1", 3*time.Second)
		if want := strings.Fields(tc.want); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
