//go:build linux

// Command benchserver-celeris is the hello world that bench drives, on celeris.
//
//	benchserver-celeris -addr=127.0.0.1:8080 -engine=epoll
package main

import (
	"flag"
	"log"
	"maps"
	"runtime"
	"slices"

	"github.com/goceleris/celeris"
	"golang.org/x/sys/unix"
)

var engines = map[string]celeris.EngineType{"epoll": celeris.Epoll, "iouring": celeris.IOUring}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to serve")
	name := flag.String("engine", "epoll", "what waits for events: epoll or iouring")
	flag.Parse()
	engine, ok := engines[*name]
	if !ok {
		log.Fatalf("-engine=%s is none of %q", *name, slices.Sorted(maps.Keys(engines)))
	}
	// Its rings are locked memory, for which it would rather have fewer workers than ask.
	unlimited := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unlimited); err != nil {
		log.Printf("locked memory stays limited: %v (run as root)", err)
	}
	// A worker for each processor that it may use, of which it wants two at least, and nothing
	// counted, as nobody asks.
	s := celeris.New(celeris.Config{Addr: *addr, Engine: engine, Protocol: celeris.HTTP1, Workers: runtime.GOMAXPROCS(0), DisableMetrics: true})
	body := []byte("Hello, World!")
	s.GET("/", func(c *celeris.Context) error { return c.Blob(200, "text/plain; charset=utf-8", body) })
	log.Fatal(s.Start())
}
