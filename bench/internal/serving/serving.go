//go:build linux

// Package serving is what the servers that bench drives have in common: their
// flags, what they print, the signals they obey, and a fasthttp.Server on either
// runtime.
package serving

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

// Config is what the command line says.
type Config struct {
	Addr     string // HOST:PORT, or unix:PATH
	Root     string // directory whose files are served beside the fixed answers; may be empty
	Upstream string // what the application asks in its turn; may be empty
	Backend  string // esca only, as the next two; empty: its default
	Loops    int    // 0: its default
	Degree   int    // most events of a tick and entries of a table; 0: its defaults
	Frame    int    // bytes of a message that an echo answers by itself; 0: what has come is
	Cert     string // PEM files for TLS, as the next; empty: none
	Key      string
	SlowFile string // absolute path of a file that a disk takes SlowDisk to read; may be empty
}

// Network splits the address as package net wants it.
func (c Config) Network() (network, addr string) {
	if path, ok := strings.CutPrefix(c.Addr, "unix:"); ok {
		return "unix", path
	}
	return "tcp4", c.Addr
}

// Listen is what a runtime does that takes any listener.
func (c Config) Listen() (net.Listener, error) { return net.Listen(c.Network()) }

// Service is one runtime with the handlers on it. Serve listens, says where,
// and returns nil once Shutdown was called.
type Service interface {
	Serve(cfg Config, ready func(addr string)) error
	Shutdown(ctx context.Context) error
}

// Counting is a Service that knows how often it has crossed into the kernel,
// and more.
type Counting interface {
	Crossings() uint64
	Report() string
}

// Runtimes makes services by the name of their runtime.
type Runtimes map[string]func(Config) (Service, error)

// Names are the runtimes there are, sorted.
func (r Runtimes) Names() []string {
	var names []string
	for name := range r {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Main is the main function of a server: it serves what the command line asks
// for, and does not return if that fails. It prints "READY address" when it
// accepts connections, and stops on SIGTERM or SIGINT. On SIGUSR1 a Counting
// service prints "crossings N".
func Main(r Runtimes) {
	if err := r.run(); err != nil {
		fmt.Fprintln(os.Stderr, "benchserver:", err)
		os.Exit(1)
	}
}

func (r Runtimes) run() error {
	var cfg Config
	name := flag.String("runtime", "esca", "what serves: "+strings.Join(r.Names(), ", "))
	procs := flag.Int("gomaxprocs", 0, "GOMAXPROCS (0: Go's default)")
	profile := flag.String("cpuprofile", "", "write a CPU profile of the whole run to this `file`")
	stats := flag.Bool("stats", false, "print the runtime's own counters on the way out")
	flag.StringVar(&cfg.Root, "root", "", "`directory` whose files are served, by esca and fasthttp only")
	flag.StringVar(&cfg.Addr, "addr", "127.0.0.1:8080", "HOST:PORT or unix:PATH to listen on")
	flag.StringVar(&cfg.Upstream, "upstream", "", "`address` of the server that handlers ask, esca and fasthttp only")
	flag.IntVar(&cfg.Loops, "loops", 0, "event loops, esca only (0: its default)")
	flag.StringVar(&cfg.Backend, "backend", "", "kernel backend, esca only (empty: its default)")
	flag.IntVar(&cfg.Degree, "degree", 0, "most events of a tick and entries of a table, esca only (0: its defaults)")
	flag.IntVar(&cfg.Frame, "frame", 0, "bytes of a message that is answered by itself, echo only (0: what has come is)")
	flag.StringVar(&cfg.SlowFile, "slowfile", "", "`file` for which sendfile blocks for "+SlowDisk.String()+", esca and fasthttp only")
	flag.StringVar(&cfg.Cert, "cert", "", "certificate, a PEM `file`, to serve TLS")
	flag.StringVar(&cfg.Key, "key", "", "its key, a PEM `file`")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}

	newService, ok := r[*name]
	if !ok {
		return fmt.Errorf("no runtime %q: choose one of %s", *name, strings.Join(r.Names(), ", "))
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
	svc, err := newService(cfg)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- svc.Serve(cfg, func(addr string) { fmt.Println("READY", addr) }) }()

	counts, _ := svc.(Counting)
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
