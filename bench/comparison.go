//go:build linux

package main

import (
	"fmt"
	"time"
)

// placement says where server and load generator run.
type placement string

const (
	// pinned: the server on one processor with GOMAXPROCS=1, the load
	// generator with one thread on another.
	pinned placement = "pinned"
	// free: nothing pinned, the server's own defaults, which is where the
	// cost of Go's scheduler shows.
	free placement = "free"

	serverCPU = 0
	loadCPU   = 1
)

// load is what one load generator asks for, without pause, over a number of
// connections.
type load struct {
	path     string
	conns    int
	pipeline int    // requests written at once; 0 and 1: one
	close    bool   // a connection per request
	body     []byte // the only right answer
}

// comparison is one question: what does a take, beside b, under these loads?
type comparison struct {
	name      string
	a, b      *server
	placement placement
	loads     []load // all at once
	idle      int    // instead of a load: measure memory with this many idle connections
	loops     int    // event loops of esca; 0: its default
	figures   []figure
	extra     bool // judges no goal: runs only when -run names it
}

// metric is a number that a sample yields.
type metric struct {
	name  string
	value func(sample) float64
}

// figure is a metric of a comparison, perhaps with a goal.
type figure struct {
	metric   metric
	limit    float64 // the goal; 0: none
	atLeast  bool    // the goal is a minimum
	absolute bool    // the goal is for a alone, not for a/b
}

func (f figure) goal() string {
	if f.limit == 0 {
		return "-"
	}
	op, of := "≤", "a/b"
	if f.atLeast {
		op = "≥"
	}
	if f.absolute {
		of = "a"
	}
	return fmt.Sprintf("%s %s %g", of, op, f.limit)
}

func (f figure) met(s summary) bool {
	v := s.Ratio
	if f.absolute {
		v = s.A
	}
	if f.atLeast {
		return v >= f.limit
	}
	return v <= f.limit
}

// sample is one timed run against one server.
type sample struct {
	Comparison string        `json:"comparison"`
	Side       string        `json:"side"` // "a" or "b"
	Server     string        `json:"server"`
	Round      int           `json:"round"`                // from 1; 0: the run that counts kernel crossings
	CPU        time.Duration `json:"cpu_ns"`               // of the server process and its children
	Others     float64       `json:"others"`               // processors kept busy by what is not part of the run
	Results    []result      `json:"results,omitempty"`    // by load
	Crossings  int64         `json:"crossings,omitempty"`  // system calls, in round 0
	IdleRSS    int64         `json:"idle_rss,omitempty"`   // what idle connections added, in bytes
	IdleConns  int           `json:"idle_conns,omitempty"` // how many they were
	RestRSS    int64         `json:"rest_rss,omitempty"`   // before them
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

var (
	cpuPerRequest = metric{"CPU µs/request", func(s sample) float64 {
		return s.perRequest(float64(s.CPU) / float64(time.Microsecond))
	}}
	throughput = metric{"requests/s", func(s sample) float64 {
		return s.Results[0].rps()
	}}
	busyOthers = metric{"processors busy with others", func(s sample) float64 {
		return s.Others
	}}
	idleBytes = metric{"bytes/idle conn", func(s sample) float64 {
		return float64(s.IdleRSS) / float64(max(1, s.IdleConns))
	}}
	crossings = metric{"crossings/request", func(s sample) float64 {
		return s.perRequest(float64(s.Crossings))
	}}
)

// p99 is the latency of the load at this index.
func p99(of int) metric {
	return metric{"p99 ms", func(s sample) float64 {
		return float64(s.Results[of].P99) / float64(time.Millisecond)
	}}
}

// named is the metric under a name that says which load it is about.
func (m metric) named(name string) metric { return metric{name, m.value} }
