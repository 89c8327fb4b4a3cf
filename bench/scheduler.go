//go:build linux

package main

import (
	"fmt"
	"time"
)

const (
	// probes is how many connections ask for what the scheduler is needed for.
	probes = 4
	// neighbours is how many ask for a line meanwhile.
	neighbours = 64
	// insiders is how many clients a server has in its own process.
	insiders = 16
	// queriers is more than the database's connections: some wait for one.
	queriers = 16
	// slowKiB is a file that no server keeps in memory.
	slowKiB = 20
)

// scheduler is how a runtime lives with Go's scheduler: what else runs in the
// process, beside loops that always have something to do.
func (b *suiteBuilder) scheduler() {
	for _, procs := range []int{1, 2, 4} {
		add := func(name string, kinds kind, c comparison) {
			if procs != 2 {
				kinds = extra
			}
			c.name, c.procs, c.kinds = fmt.Sprintf("%s/procs%d", name, procs), procs, kinds
			c.placement, c.steady = free, true
			b.add(c)
		}
		sides, goals := b.both(esca, fasthttpServer), b.onEvery(esca, asFast(fasthttpServer, 1.1)...)
		add("upstream", quick, comparison{sides: sides, upstream: netEcho, loads: probe("/upstream", probes), goals: goals})
		add("spawn", full, comparison{sides: sides, loads: probe("/spawn", probes), goals: goals})
		add("late", extra, comparison{sides: sides, late: true, loads: probe("/late", probes)})
		add("inprocess", full, comparison{sides: sides, loads: []load{{path: "/", conns: insiders, inside: true, body: helloBody}}, goals: goals})
		add("postgres", full, comparison{sides: b.both(escaPostgres, onPostgres(fasthttpServer, "fasthttp", "")), upstream: postgres,
			loads: probe("/query", queriers), goals: goals})
	}
	quick := quickLoad
	quick.conns, quick.pace = 16, 5*time.Millisecond // lest those that are answered outnumber those that are not
	slow := load{path: "/" + fileName(slowKiB), conns: 2, rare: true, body: b.files[slowKiB]}
	b.add(comparison{name: "slowfile", sides: b.both(esca, fasthttpServer), placement: free, steady: true, slow: fileName(slowKiB),
		loads: []load{slow, quick}, goals: b.onEvery(esca, goal{Metric: "quick p99 ms", Limit: 5})})
}

func escaPostgres(backend string) *server { return onPostgres(esca(backend), "esca", backend) }

var quickLoad = load{path: "/quick", conns: neighbours, body: helloBody}

// probe asks for something beside neighbours that are answered at once.
func probe(path string, conns int) []load {
	return []load{{path: path, conns: conns, body: helloBody}, quickLoad}
}
