//go:build linux

package main

import (
	"time"

	"github.com/escahttp/esca/bench/internal/latency"
)

// sample is one timed run against one server.
type sample struct {
	Comparison string              `json:"comparison"`
	Server     string              `json:"server"`
	Round      int                 `json:"round"`           // from 1; 0: the run that counts kernel crossings
	Whole      bool                `json:"whole,omitempty"` // a run without a pause, one after each of the first starts: rates and latencies are of these, everything else is of the others
	Started    time.Time           `json:"started"`
	CPU        time.Duration       `json:"cpu_ns"`               // of the server process and its children
	Others     float64             `json:"others"`               // processors kept busy by what is not part of the run
	Results    []result            `json:"results,omitempty"`    // by load
	Crossings  int64               `json:"crossings,omitempty"`  // system calls, in round 0
	Own        int64               `json:"own,omitempty"`        // of them by the server's own count, if it has one
	Checked    int                 `json:"checked,omitempty"`    // answers that were compared with the right one during the run
	Late       latency.Percentiles `json:"late,omitzero"`        // how late goroutines ran that handlers had started, by the server's own clock
	IdleRSS    int64               `json:"idle_rss,omitempty"`   // what idle connections added, in bytes
	IdleConns  int                 `json:"idle_conns,omitempty"` // how many they were
	RestRSS    int64               `json:"rest_rss,omitempty"`   // resident memory before
}

func (s sample) requests() (n int64) {
	for _, r := range s.Results {
		n += r.Requests
	}
	return n
}

func (s sample) errors() (n int64) {
	for _, r := range s.Results {
		n += r.Errors
	}
	return n
}

func (s sample) perRequest(x float64) float64 {
	if n := s.requests(); n > 0 {
		return x / float64(n)
	}
	return 0
}

// of is what a latency or a rate is of that the load with this index has.
func (s sample) of(load int, value func(result) float64) float64 {
	if load >= len(s.Results) {
		return 0
	}
	return value(s.Results[load])
}

// metric is a number that a sample yields.
type metric struct {
	name  string
	value func(sample) float64
	whole bool // it is taken from runs without a pause
}

var (
	cpuPerRequest = metric{name: "CPU µs/request", value: func(s sample) float64 {
		return s.perRequest(float64(s.CPU) / float64(time.Microsecond))
	}}
	busyOthers = metric{name: "processors busy with others", value: func(s sample) float64 { return s.Others }}
	idleBytes  = metric{name: "bytes/idle connection", value: func(s sample) float64 {
		return float64(s.IdleRSS) / float64(max(1, s.IdleConns))
	}}
	restMemory = metric{name: "MiB at rest", value: func(s sample) float64 { return float64(s.RestRSS) / (1 << 20) }}
	crossings  = metric{name: "crossings/request", value: func(s sample) float64 {
		return s.perRequest(float64(s.Crossings))
	}}
	ownCrossings = metric{name: "crossings/request, the server's own count", value: func(s sample) float64 {
		return s.perRequest(float64(s.Own))
	}}
)

// throughput is of the load with this index, as are the latencies.
func throughput(load int) metric {
	return metric{"requests/s", func(s sample) float64 { return s.of(load, result.rps) }, true}
}

func p50(load int) metric {
	return latencyOf("p50 ms", load, func(r result) time.Duration { return r.P50 })
}

func p90(load int) metric {
	return latencyOf("p90 ms", load, func(r result) time.Duration { return r.P90 })
}

func p99(load int) metric {
	return latencyOf("p99 ms", load, func(r result) time.Duration { return r.P99 })
}

func p999(load int) metric {
	return latencyOf("p99.9 ms", load, func(r result) time.Duration { return r.P999 })
}

func latencyOf(name string, load int, of func(result) time.Duration) metric {
	return metric{name, func(s sample) float64 {
		return s.of(load, func(r result) float64 { return float64(of(r)) / float64(time.Millisecond) })
	}, true}
}

var (
	lateP50  = lateness("goroutines late p50 ms", func(p latency.Percentiles) time.Duration { return p.P50 })
	lateP90  = lateness("goroutines late p90 ms", func(p latency.Percentiles) time.Duration { return p.P90 })
	lateMost = lateness("goroutines late at most ms", func(p latency.Percentiles) time.Duration { return p.Max })
)

func lateness(name string, of func(latency.Percentiles) time.Duration) metric {
	return metric{name, func(s sample) float64 { return float64(of(s.Late)) / float64(time.Millisecond) }, true}
}

// named is the metric under a name that says which load it is about.
func (m metric) named(name string) metric { return metric{name, m.value, m.whole} }

// goalMetrics are the metrics that goals can be set for.
var goalMetrics = []metric{
	cpuPerRequest, idleBytes,
	p50(0), p99(0), throughput(0).named("slow requests/s"), p99(1).named("quick p99 ms"),
}
