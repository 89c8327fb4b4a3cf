// Command benchserver is the server that bench drives: the same handlers on
// esca, on fasthttp's own server or on net/http.
//
//	benchserver -runtime=esca -addr=127.0.0.1:0
//
// It prints "READY address" when it accepts connections, and stops on SIGTERM
// or SIGINT.
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
	addr    string
	loops   int
	backend string
}

// service is one runtime with the handlers on it. Serve returns nil once
// Shutdown was called.
type service interface {
	Listen(cfg config) (net.Listener, error)
	Serve(ln net.Listener) error
	Shutdown(ctx context.Context) error
	// Report describes what the runtime counted, or is empty.
	Report() string
}

var runtimes = map[string]func() service{}

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
	flag.StringVar(&cfg.addr, "addr", "127.0.0.1:8080", "address to listen on")
	flag.IntVar(&cfg.loops, "loops", 0, "event loops, esca only (0: its default)")
	flag.StringVar(&cfg.backend, "backend", "", "kernel backend, esca only (empty: its default)")
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
	svc := newService()
	ln, err := svc.Listen(cfg)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- svc.Serve(ln) }()
	fmt.Println("READY", ln.Addr())

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	if *stats {
		fmt.Fprintln(os.Stderr, svc.Report())
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
