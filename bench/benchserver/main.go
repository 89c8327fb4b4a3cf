// Command benchserver is the server that bench drives: the same handlers on
// esca, on fasthttp's own server or on net/http; and a constant answer on gnet.
//
//	benchserver -runtime=esca -addr=127.0.0.1:0
//
// It prints "READY address" when it accepts connections, and stops on SIGTERM
// or SIGINT. On SIGUSR1 a runtime that counts its kernel crossings prints
// "crossings N".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"
)

type config struct {
	addr    string // HOST:PORT, or unix:PATH
	loops   int
	backend string
	degree  int
	frame   int
}

// network splits the address as package net wants it.
func (c config) network() (network, addr string) {
	if path, ok := strings.CutPrefix(c.addr, "unix:"); ok {
		return "unix", path
	}
	return "tcp4", c.addr
}

// listen is what a runtime does that takes any listener.
func (c config) listen() (net.Listener, error) { return net.Listen(c.network()) }

// service is one runtime with the handlers on it. Serve listens, says where,
// and returns nil once Shutdown was called.
type service interface {
	Serve(cfg config, ready func(addr string)) error
	Shutdown(ctx context.Context) error
}

// counting is a service that knows how often it has crossed into the kernel,
// and more.
type counting interface {
	Crossings() uint64
	Report() string
}

// runtimes makes the services; root is what they serve beside the fixed
// answers, and may be empty.
var runtimes = map[string]func(root string) service{}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "benchserver:", err)
		os.Exit(1)
	}
}

func run() error {
	var cfg config
	name := flag.String("runtime", "esca", "what serves: "+strings.Join(runtimeNames(), ", "))
	procs := flag.Int("gomaxprocs", 0, "GOMAXPROCS (0: Go's default)")
	profile := flag.String("cpuprofile", "", "write a CPU profile of the whole run to this `file`")
	stats := flag.Bool("stats", false, "print the runtime's own counters on the way out")
	root := flag.String("root", "", "`directory` whose files are served, by esca and fasthttp only")
	flag.StringVar(&cfg.addr, "addr", "127.0.0.1:8080", "HOST:PORT or unix:PATH to listen on")
	flag.IntVar(&cfg.loops, "loops", 0, "event loops, esca only (0: its default)")
	flag.StringVar(&cfg.backend, "backend", "", "kernel backend, esca only (empty: its default)")
	flag.IntVar(&cfg.degree, "degree", 0, "most events of a tick and entries of a table, esca only (0: its defaults)")
	flag.IntVar(&cfg.frame, "frame", 0, "bytes of a message that is answered by itself, echo only (0: what has come is)")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}

	newService, ok := runtimes[*name]
	if !ok {
		return fmt.Errorf("no runtime %q: choose one of %s", *name, strings.Join(runtimeNames(), ", "))
	}
	if *procs > 0 {
		runtime.GOMAXPROCS(*procs)
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	svc := newService(*root)
	served := make(chan error, 1)
	go func() { served <- svc.Serve(cfg, func(addr string) { fmt.Println("READY", addr) }) }()

	counts, _ := svc.(counting)
	for serving := true; serving; {
		select {
		case err := <-served:
			return err
		case <-asked:
			if counts != nil {
				fmt.Println("crossings", counts.Crossings())
			}
		case <-ctx.Done():
			serving = false
		}
	}
	if *stats && counts != nil {
		fmt.Fprintln(os.Stderr, counts.Report())
	}
	// Idle keep-alive connections are the load generator's to close; a
	// benchmark has nothing to wait for.
	grace, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := svc.Shutdown(grace); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func runtimeNames() []string {
	var names []string
	for name := range runtimes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
