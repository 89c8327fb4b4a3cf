//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/escahttp/esca/poller"
)

// server is a program that can be measured.
type server struct {
	name string
	// command builds or finds the program, and is how to start it on addr,
	// which is HOST:PORT or unix:PATH.
	command func(w *workshop, c *comparison, addr string) ([]string, error)
	// threads is how many of its threads serve at once; nil: as many as a Go program has.
	threads func(c *comparison) int
	// module is the directory of the module of its own that it is built from;
	// empty: none.
	module string
	// counts says that SIGUSR1 makes it print how often it has crossed into
	// the kernel.
	counts bool
}

var (
	fasthttpServer = &server{name: "fasthttp", command: benchserver("fasthttp", "")}
	nethttp        = &server{name: "net/http", command: benchserver("nethttp", "")}
	gnetConstant   = &server{name: "gnet, a constant", command: benchserver("gnet", "")}
	gnetEcho       = &server{name: "gnet", command: benchserver("gnet-echo", "")}
	epollLoop      = &server{name: "C epoll loop", command: startFloor("epoll"), threads: one}
	uringLoop      = &server{name: "C io_uring loop", command: startFloor("uring"), threads: one}
	nginx          = &server{name: "nginx", command: startNginx("on")}
	// A small file costs nginx less with tcp_nopush; for one of 100 KiB it
	// depends on the machine, and esca is put beside both.
	nginxPush = &server{name: "nginx, no tcp_nopush", command: startNginx("off")}
	lighttpd  = &server{name: "lighttpd", command: startLighttpd}
)

// backends are those that esca's servers are measured on.
type backends struct {
	chosen string   // by auto, or by -backend
	others []string // available or not
}

func findBackends(asked string) (b backends, err error) {
	f, _, err := poller.Choose(asked)
	if err != nil {
		return b, err
	}
	b.chosen = f.Name()
	for _, p := range poller.Probes() {
		if p.Name != b.chosen {
			b.others = append(b.others, p.Name)
		}
	}
	return b, nil
}

// esca is the benchserver, and escahttp the file server, on one of esca's
// backends. They are the same programs on each: their ratio is what aggregation
// alone is worth.
func esca(backend string) *server {
	return &server{name: "esca on " + backend, command: onBackend(backend, benchserver("esca", backend)), threads: loops, counts: true}
}

// escaEcho is the gnet.EventHandler on esca.
func escaEcho(backend string) *server {
	return &server{name: "esca on " + backend, command: onBackend(backend, benchserver("esca-echo", backend)), threads: loops, counts: true}
}

func escahttp(backend string) *server {
	return &server{name: "escahttp on " + backend, threads: loops, command: onBackend(backend, func(w *workshop, c *comparison, addr string) ([]string, error) {
		bin, err := w.goBuild("cmd/escahttp")
		if err != nil {
			return nil, err
		}
		argv := append([]string{bin, "--addr", addr, "--backend", backend}, loopFlags("--", c)...)
		if c.secure() {
			cert, key, err := w.certificate()
			if err != nil {
				return nil, err
			}
			argv = append(argv, "--tls-cert", cert, "--tls-key", key)
		}
		return append(argv, w.root), nil
	})}
}

// onBackend is missing where the backend does not work.
func onBackend(backend string, command func(*workshop, *comparison, string) ([]string, error)) func(*workshop, *comparison, string) ([]string, error) {
	return func(w *workshop, c *comparison, addr string) ([]string, error) {
		for _, p := range poller.Probes() {
			if p.Name == backend && p.Status != poller.Available {
				return nil, missingError(p.String())
			}
		}
		return command(w, c, addr)
	}
}

// onPostgres is benchserver-pg, whose handlers query PostgreSQL, as this side.
func onPostgres(side *server, runtime, backend string) *server {
	build := func(w *workshop) (string, error) { return w.goBuildModule(postgresServer) }
	return &server{name: side.name, command: onBackend(backend, started(build, runtime, backend)), threads: side.threads, counts: side.counts}
}

func benchserver(runtime, backend string) func(*workshop, *comparison, string) ([]string, error) {
	return started(func(w *workshop) (string, error) { return w.goBuild("bench/benchserver") }, runtime, backend)
}

// started is how to start a server with the flags of package serving.
func started(build func(*workshop) (string, error), runtime, backend string) func(*workshop, *comparison, string) ([]string, error) {
	return func(w *workshop, c *comparison, addr string) ([]string, error) {
		bin, err := build(w)
		if err != nil {
			return nil, err
		}
		argv := []string{bin, "-runtime", runtime, "-addr", addr, "-root", w.root}
		if c.frame > 0 {
			argv = append(argv, "-frame", fmt.Sprint(c.frame))
		}
		if c.slow != "" {
			argv = append(argv, "-slowfile", filepath.Join(w.root, c.slow))
		}
		if c.asks != "" {
			argv = append(argv, "-upstream", c.asks)
		}
		if backend != "" {
			argv = append(append(argv, "-backend", backend), loopFlags("-", c)...)
			if c.degree > 0 {
				argv = append(argv, "-degree", fmt.Sprint(c.degree))
			}
		}
		if c.secure() {
			cert, key, err := w.certificate()
			if err != nil {
				return nil, err
			}
			argv = append(argv, "-cert", cert, "-key", key)
		}
		if w.profileDir != "" {
			name := strings.NewReplacer("/", "-", " ", "-").Replace(c.name+"-"+runtime+backend) + ".pprof"
			argv = append(argv, "-cpuprofile", filepath.Join(w.profileDir, name))
		}
		return argv, nil
	}
}

func loopFlags(dash string, c *comparison) []string {
	if c.loops == 0 {
		return nil
	}
	return []string{dash + "loops", fmt.Sprint(c.loops)}
}

// startFloor builds one of the C loops.
func startFloor(name string) func(*workshop, *comparison, string) ([]string, error) {
	return func(w *workshop, _ *comparison, addr string) ([]string, error) {
		bin := filepath.Join(w.dir, name+"-loop")
		err := w.once(bin, func() error {
			cc, err := lookPath("cc", "gcc")
			if err != nil {
				return err
			}
			if err := os.CopyFS(filepath.Join(w.dir, name), floorSource); err != nil {
				return err
			}
			return build(cc, "-O2", "-Wall", "-o", bin, filepath.Join(w.dir, name, "floor", name+".c"))
		})
		return []string{bin, addr}, err
	}
}

func startNginx(nopush string) func(*workshop, *comparison, string) ([]string, error) {
	return func(w *workshop, c *comparison, addr string) ([]string, error) {
		bin, err := lookPath("nginx", "nginx-light")
		if err != nil {
			return nil, err
		}
		values := map[string]string{"Listen": addr, "Nopush": nopush, "Workers": fmt.Sprint(c.workers())}
		if c.zips() {
			values["Gzip"] = "on"
		}
		if c.secure() {
			if values["Cert"], values["Key"], err = w.certificate(); err != nil {
				return nil, err
			}
		}
		conf, err := w.writeConf("nginx", nginxConf, values)
		// -e: or it complains of a log directory it may not have.
		return []string{bin, "-e", "stderr", "-p", w.dir, "-c", conf}, err
	}
}

func startLighttpd(w *workshop, c *comparison, addr string) ([]string, error) {
	bin, err := lookPath("lighttpd", "lighttpd")
	if err != nil {
		return nil, err
	}
	// It takes an absolute path for a unix socket, and a port apart.
	bind, port := strings.TrimPrefix(addr, unixPrefix), "0"
	if bind == addr {
		bind, port, _ = strings.Cut(addr, ":")
	}
	values := map[string]string{"Bind": bind, "Port": port}
	if n := c.workers(); n > 1 { // one that is not asked for is a process more
		values["Workers"] = fmt.Sprint(n)
	}
	conf, err := w.writeConf("lighttpd", lighttpdConf, values)
	return []string{bin, "-D", "-f", conf}, err
}
