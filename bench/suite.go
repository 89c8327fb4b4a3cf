//go:build linux

package main

import (
	"fmt"
	"slices"
)

// idleConns fits, with what else a server has open, into 20,000 descriptors.
const idleConns = 9000

var helloBody = []byte("Hello, World!")

// A suite collects comparisons, in the order they run.
type suiteBuilder struct {
	on    backends
	files map[int][]byte
	all   []comparison
}

// suite is every comparison there is.
func suite(on backends) []comparison {
	b := &suiteBuilder{on: on, files: testFiles()}
	b.hello()
	b.waysToConnect()
	b.memoryAndBlocking()
	b.scheduler()
	b.echo()
	b.staticFiles()
	b.site()
	b.compressed()
	b.tls()
	b.http2()
	b.rates()
	b.paper()
	b.peers()
	return b.all
}

// both is esca on the chosen backend as the reference, on every other one, so
// that aggregation alone has its figure, and peers.
func (b *suiteBuilder) both(make func(backend string) *server, peers ...*server) []*server {
	sides := []*server{make(b.on.chosen)}
	for _, other := range b.on.others {
		sides = append(sides, make(other))
	}
	return append(sides, peers...)
}

func hello(conns int) []load { return []load{{path: "/", conns: conns, body: helloBody}} }

func (b *suiteBuilder) file(kib, conns int) []load {
	return []load{{path: "/" + fileName(kib), conns: conns, body: b.files[kib]}}
}

func (b *suiteBuilder) add(c comparison) { b.all = append(b.all, c) }

// cpuGoal is a limit for the CPU of esca's chosen backend beside a peer.
func cpuGoal(against *server, limit float64) goal {
	return goal{Metric: cpuPerRequest.name, Against: against.name, Limit: limit}
}

// onEvery sets goals for side on the chosen backend, and the same for it on
// every other one.
func (b *suiteBuilder) onEvery(side func(backend string) *server, goals ...goal) []goal {
	all := slices.Clone(goals)
	for _, other := range b.on.others {
		for _, g := range goals {
			g.Of = side(other).name
			all = append(all, g)
		}
	}
	return all
}

// asFast is goals for the first load's median and 99th percentile, beside a peer's.
func asFast(against *server, limit float64) []goal {
	return []goal{{Metric: p50(0).name, Against: against.name, Limit: limit}, {Metric: p99(0).name, Against: against.name, Limit: limit}}
}

func (b *suiteBuilder) hello() {
	everybody := b.both(esca, fasthttpServer, nethttp, gnetConstant, celerisEpoll, celerisUring, epollLoop, uringLoop)
	short := b.both(esca, fasthttpServer, epollLoop)
	for _, h := range []struct {
		conns int
		sides []*server
		kinds kind
		most  float64 // of fasthttp's CPU, on every backend, with a p99 that is not above its; 0: no goal
		goals []goal
	}{
		{1, short, full, 0.8, nil},
		{8, short, full, 1, nil},
		{50, everybody, quick, 0.95, []goal{cpuGoal(epollLoop, 1.2)}},
		{256, everybody, full, 0.88, []goal{cpuGoal(epollLoop, 1.2)}},
		{1000, short, full, 0.7, []goal{cpuGoal(epollLoop, 1.2)}},
		{4000, short, full, 0, nil},
		{10000, short, full, 0, nil},
	} {
		goals := h.goals
		if h.most > 0 {
			goals = append(goals, b.onEvery(esca, cpuGoal(fasthttpServer, h.most), goal{Metric: p99(0).name, Against: fasthttpServer.name, Limit: 1})...)
		}
		b.add(comparison{name: fmt.Sprintf("hello/free/c%d", h.conns), family: "hello/free", x: float64(h.conns),
			sides: h.sides, placement: free, loads: hello(h.conns), goals: goals, kinds: h.kinds})
	}
	b.add(comparison{name: "hello/pinned/c50", sides: append(b.both(esca, fasthttpServer, gnetConstant, epollLoop, uringLoop), nginx), placement: pinned, loads: hello(50)})
	b.add(comparison{name: "hello/pinned/c256", sides: short, placement: pinned, loads: hello(256), kinds: extra})
	b.add(comparison{name: "pipeline16/pinned/c50", sides: b.both(esca, fasthttpServer, nethttp, gnetConstant, epollLoop, uringLoop), placement: pinned,
		loads: []load{{path: "/", conns: 50, pipeline: 16, body: helloBody}}, goals: []goal{cpuGoal(fasthttpServer, 0.9)}, kinds: quick})
}

func (b *suiteBuilder) waysToConnect() {
	b.add(comparison{name: "close/free/c50", sides: b.both(esca, fasthttpServer, nethttp, nginx), placement: free,
		loads: []load{{path: "/", conns: 50, close: true, body: helloBody}}, kinds: quick})
	b.add(comparison{name: "requests10/free/c50", sides: b.both(esca, fasthttpServer, nethttp, celerisEpoll, celerisUring, nginx), placement: free, brief: true,
		loads: []load{{path: "/", conns: 50, each: 10, body: helloBody}}})
	b.add(comparison{name: "unix/pinned/c50", sides: b.both(esca, fasthttpServer, nethttp, nginx, epollLoop, uringLoop), placement: pinned, unix: true,
		loads: hello(50), kinds: quick})
	b.add(comparison{name: "unix/free/c256", sides: b.both(esca, fasthttpServer), placement: free, unix: true, loads: hello(256)})
}

func (b *suiteBuilder) memoryAndBlocking() {
	b.add(comparison{name: "idle/free", sides: append([]*server{esca(b.on.chosen)}, fasthttpServer, nethttp, gnetConstant, nginx, epollLoop),
		placement: free, idle: idleConns, loads: hello(1),
		goals: []goal{{Metric: idleBytes.name, Limit: 600}}})
	b.add(comparison{name: "mix/free", sides: b.both(esca, fasthttpServer), placement: free, loops: 1,
		loads: []load{
			{path: "/slow", conns: 256, body: helloBody},
			{path: "/quick", conns: 16, body: helloBody},
		},
		goals: []goal{
			{Metric: "slow requests/s", Against: fasthttpServer.name, Limit: 0.95, AtLeast: true},
			{Metric: "quick p99 ms", Limit: 3},
		}})
}

// echo is a gnet.EventHandler on esca beside gnet itself.
func (b *suiteBuilder) echo() {
	sizes := []int{64, 1 << 10, 64 << 10, 1 << 20}
	for _, size := range sizes {
		for _, conns := range []int{50, 1000, 4000} {
			if size*conns > 1<<30 {
				continue // it would be the machine's memory
			}
			c := comparison{name: fmt.Sprintf("echo/free/%d/c%d", size, conns), family: fmt.Sprintf("echo/free/c%d", conns), x: float64(size),
				sides: b.both(escaEcho, gnetEcho), placement: free, loads: []load{{echo: size, conns: conns}}, goals: []goal{cpuGoal(gnetEcho, 1)}}
			switch {
			case size == 64 && conns == 50:
				c.kinds = quick
			case size > 64 && conns > 50:
				c.kinds = extra
			}
			b.add(c)
		}
	}
	for _, size := range sizes[:2] {
		kinds := full
		if size > 64 {
			kinds = extra
		}
		b.add(comparison{name: fmt.Sprintf("echo/pipeline16/%d/c50", size), kinds: kinds, sides: b.both(escaEcho, gnetEcho), placement: free,
			frame: size, loads: []load{{echo: size, conns: 50, pipeline: 16}}, goals: []goal{cpuGoal(gnetEcho, 0.8)}})
	}
	b.add(comparison{name: "idle/echo", sides: []*server{escaEcho(b.on.chosen), gnetEcho}, placement: free, idle: idleConns,
		loads: []load{{echo: 64, conns: 1}}, goals: []goal{{Metric: idleBytes.name, Limit: 600}}})
}

func (b *suiteBuilder) staticFiles() {
	for _, kib := range fileSizes {
		sides := b.both(escahttp, nginx, lighttpd)
		var goals []goal
		kinds := full
		switch kib {
		case 1:
			goals, kinds = []goal{cpuGoal(nginx, 0.8), cpuGoal(lighttpd, 0.9)}, quick
		case 100:
			sides = append(sides, nginxPush)
			goals, kinds = []goal{cpuGoal(nginx, 1)}, quick
		}
		b.add(comparison{name: fmt.Sprintf("files/pinned/%dk", kib), family: "files/pinned", x: float64(kib),
			sides: sides, placement: pinned, loads: b.file(kib, 50), goals: goals, kinds: kinds})
	}
	for _, kib := range []int{1, 100} {
		kinds := full
		if kib > 1 {
			kinds = extra
		}
		b.add(comparison{name: fmt.Sprintf("files/free/%dk", kib), sides: b.both(escahttp, nginx, lighttpd), placement: free, loads: b.file(kib, 50), kinds: kinds})
		b.add(comparison{name: fmt.Sprintf("handler/pinned/%dk", kib), sides: b.both(esca, fasthttpServer), placement: pinned, loads: b.file(kib, 50), kinds: extra})
	}
}

// rates is how long answers take where servers have time: at a rate that all of
// them could serve several times over.
func (b *suiteBuilder) rates() {
	for _, r := range []struct {
		rate  int
		kinds kind
	}{{2_000, extra}, {10_000, full}} {
		b.add(comparison{name: fmt.Sprintf("rate/free/%dk", r.rate/1000), sides: b.both(esca, fasthttpServer, nethttp, nginx), placement: free, brief: true, steady: true,
			loads: []load{{path: "/", conns: 64, rate: r.rate, body: helloBody}}, kinds: r.kinds})
	}
}

// peers compares others with each other: is this machine the one the goals were
// set on? And a server with itself: how far from 1 is noise?
func (b *suiteBuilder) peers() {
	again := *fasthttpServer
	again.name += ", again"
	b.add(comparison{name: "noise/pinned/c50", sides: []*server{fasthttpServer, &again}, placement: pinned, loads: hello(50)})
	b.add(comparison{name: "noise/free/c50", sides: []*server{fasthttpServer, &again}, placement: free, loads: hello(50), kinds: extra})
}

// choose is the comparisons whose name matches, or, when nothing was asked
// for, those of the suite or of its quick part.
func choose(all []comparison, onlyQuick bool, match func(string) bool) []comparison {
	return slices.DeleteFunc(slices.Clone(all), func(c comparison) bool {
		switch {
		case match != nil:
			return !match(c.name)
		case onlyQuick:
			return c.kinds != quick
		}
		return c.kinds == extra
	})
}
