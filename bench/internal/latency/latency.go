// Package latency has what a load generator, or a server that looks at itself,
// tells of many times.
package latency

import (
	"slices"
	"time"
)

// Percentiles are of one set of times; all are zero if there were none.
type Percentiles struct {
	P50  time.Duration `json:"p50_ns"`
	P90  time.Duration `json:"p90_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	Max  time.Duration `json:"max_ns"`
}

// Of sorts times, and takes their percentiles.
func Of(times []time.Duration) Percentiles {
	if len(times) == 0 {
		return Percentiles{}
	}
	slices.Sort(times)
	last := len(times) - 1
	at := func(p float64) time.Duration { return times[min(last, int(p*float64(len(times))))] }
	return Percentiles{P50: at(0.5), P90: at(0.9), P99: at(0.99), P999: at(0.999), Max: times[last]}
}
