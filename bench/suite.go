//go:build linux

package main

import (
	"fmt"
	"slices"
)

// idleConns fits, with what else a server has open, into 20,000 descriptors.
const idleConns = 9000

var helloBody = []byte("Hello, World!")

// suite is every comparison, in the order they run.
func suite(files map[int][]byte) []comparison {
	hello := func(conns int) []load {
		return []load{{path: "/", conns: conns, body: helloBody}}
	}
	static := func(kib int) []load {
		return []load{{path: "/" + fileName(kib), conns: 50, body: files[kib]}}
	}
	cpu := func(limit float64) []figure {
		return []figure{{metric: cpuPerRequest, limit: limit}}
	}
	var all []comparison
	add := func(c comparison) { all = append(all, c) }

	for _, h := range []struct {
		conns int
		limit float64
		floor float64
	}{{50, 0.75, 1.2}, {256, 0.75, 1.2}, {1000, 0.7, 1.2}, {4000, 0, 0}} {
		add(comparison{name: fmt.Sprintf("hello/free/c%d", h.conns), a: esca, b: fasthttpServer,
			placement: free, loads: hello(h.conns), figures: cpu(h.limit)})
		if h.floor != 0 {
			add(comparison{name: fmt.Sprintf("floor/free/c%d", h.conns), a: esca, b: floor,
				placement: free, loads: hello(h.conns), figures: cpu(h.floor)})
		}
	}
	add(comparison{name: "hello/pinned/c50", a: esca, b: fasthttpServer, placement: pinned, loads: hello(50), figures: cpu(0)})
	add(comparison{name: "hello/pinned/c256", a: esca, b: fasthttpServer, placement: pinned, loads: hello(256), figures: cpu(0)})
	add(comparison{name: "pipeline16/pinned/c50", a: esca, b: fasthttpServer, placement: pinned,
		loads: []load{{path: "/", conns: 50, pipeline: 16, body: helloBody}}, figures: cpu(0.9)})
	add(comparison{name: "close/free/c50", a: esca, b: fasthttpServer, placement: free,
		loads: []load{{path: "/", conns: 50, close: true, body: helloBody}}, figures: cpu(0)})
	add(comparison{name: "idle/free", a: esca, b: fasthttpServer, placement: free, idle: idleConns, loads: hello(1),
		figures: []figure{{metric: idleBytes, limit: 700, absolute: true}}})
	add(comparison{name: "mix/free", a: esca, b: fasthttpServer, placement: free, loops: 1,
		loads: []load{
			{path: "/slow", conns: 256, body: helloBody},
			{path: "/quick", conns: 16, body: helloBody},
		},
		figures: []figure{
			{metric: throughput.named("slow requests/s"), limit: 0.95, atLeast: true},
			{metric: p99(1).named("quick p99 ms"), limit: 3, absolute: true},
			{metric: cpuPerRequest},
		}})
	for _, s := range []struct {
		kib             int
		nginx, lighttpd float64
	}{{1, 0.8, 0.9}, {20, 0, 0}, {100, 1, 0}} {
		add(comparison{name: fmt.Sprintf("nginx/pinned/%dk", s.kib), a: escahttp, b: nginx,
			placement: pinned, loads: static(s.kib), figures: cpu(s.nginx)})
		if s.kib == 100 {
			add(comparison{name: "nginx-push/pinned/100k", a: escahttp, b: nginxPush,
				placement: pinned, loads: static(s.kib), figures: cpu(s.nginx)})
		}
		add(comparison{name: fmt.Sprintf("lighttpd/pinned/%dk", s.kib), a: escahttp, b: lighttpd,
			placement: pinned, loads: static(s.kib), figures: cpu(s.lighttpd)})
	}

	// Peers beside each other: is this machine the one the goals were set on?
	// And a server beside itself: how far from 1 is noise?
	peers := []comparison{
		{name: "peers/noise/free/c50", a: fasthttpServer, b: fasthttpServer, placement: free, loads: hello(50)},
		{name: "peers/noise/pinned/c50", a: fasthttpServer, b: fasthttpServer, placement: pinned, loads: hello(50)},
		{name: "peers/fasthttp-floor/free/c50", a: fasthttpServer, b: floor, placement: free, loads: hello(50)},
		{name: "peers/fasthttp-floor/free/c256", a: fasthttpServer, b: floor, placement: free, loads: hello(256)},
		{name: "peers/fasthttp-floor/free/c1000", a: fasthttpServer, b: floor, placement: free, loads: hello(1000)},
		{name: "peers/fasthttp-floor/pinned/c50", a: fasthttpServer, b: floor, placement: pinned, loads: hello(50)},
		{name: "peers/fasthttp-floor/pipeline16", a: fasthttpServer, b: floor, placement: pinned,
			loads: []load{{path: "/", conns: 50, pipeline: 16, body: helloBody}}},
		{name: "peers/nethttp-fasthttp/pinned/c50", a: nethttp, b: fasthttpServer, placement: pinned, loads: hello(50)},
		{name: "peers/nethttp-fasthttp/close", a: nethttp, b: fasthttpServer, placement: free,
			loads: []load{{path: "/", conns: 50, close: true, body: helloBody}}},
		{name: "peers/nethttp-fasthttp/idle", a: nethttp, b: fasthttpServer, placement: free, idle: idleConns, loads: hello(1),
			figures: []figure{{metric: idleBytes}}},
		{name: "peers/nethttp-fasthttp/mix", a: nethttp, b: fasthttpServer, placement: free,
			loads:   []load{{path: "/slow", conns: 256, body: helloBody}, {path: "/quick", conns: 16, body: helloBody}},
			figures: []figure{{metric: throughput.named("slow requests/s")}, {metric: p99(1).named("quick p99 ms")}, {metric: cpuPerRequest}}},
	}
	for _, kib := range fileSizes {
		peers = append(peers, comparison{name: fmt.Sprintf("peers/nginx-nopush/%dk", kib), a: nginxPush, b: nginx,
			placement: pinned, loads: static(kib)})
		peers = append(peers, comparison{name: fmt.Sprintf("peers/nginx-lighttpd/%dk", kib), a: nginx, b: lighttpd,
			placement: pinned, loads: static(kib)})
	}
	for _, c := range peers {
		c.extra = true
		if c.figures == nil {
			c.figures = cpu(0)
		}
		add(c)
	}
	return all
}

// choose is the comparisons whose name matches, or, when nothing was asked
// for, those with esca in them.
func choose(all []comparison, match func(string) bool) []comparison {
	return slices.DeleteFunc(slices.Clone(all), func(c comparison) bool {
		if match == nil {
			return c.extra
		}
		return !match(c.name)
	})
}
