//go:build linux

package main

import (
	"context"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

const (
	module       = "github.com/escahttp/esca"
	buildTimeout = 5 * time.Minute // with nothing in Go's build cache
)

var (
	//go:embed floor/epoll.c
	floorSource []byte
	//go:embed conf/nginx.conf.tmpl
	nginxConf string
	//go:embed conf/lighttpd.conf.tmpl
	lighttpdConf string
	//go:embed conf/pipeline.lua
	pipelineScript []byte
)

// server is a program that can be measured.
type server struct {
	name string
	// command builds or finds the program, and is how to start it on addr.
	command func(w *workshop, c *comparison, addr string) ([]string, error)
}

var (
	esca           = &server{"esca", benchserver("esca")}
	fasthttpServer = &server{"fasthttp", benchserver("fasthttp")}
	nethttp        = &server{"nethttp", benchserver("nethttp")}
	floor          = &server{"floor", startFloor}
	escahttp       = &server{"escahttp", startEscahttp}
	nginx          = &server{"nginx", startNginx("on")}
	// Over loopback a 100 KiB file costs nginx less without tcp_nopush, and a
	// small one more: esca is put beside the better of the two.
	nginxPush = &server{"nginx-push", startNginx("off")}
	lighttpd  = &server{"lighttpd", startLighttpd}
)

func benchserver(runtime string) func(*workshop, *comparison, string) ([]string, error) {
	return func(w *workshop, c *comparison, addr string) ([]string, error) {
		bin, err := w.goBuild("bench/benchserver")
		if err != nil {
			return nil, err
		}
		argv := []string{bin, "-runtime", runtime, "-addr", addr}
		if runtime == "esca" {
			argv = append(argv, w.escaFlags("-", c)...)
		}
		if w.profileDir != "" {
			name := strings.ReplaceAll(c.name, "/", "-") + "-" + runtime + ".pprof"
			argv = append(argv, "-cpuprofile", filepath.Join(w.profileDir, name))
		}
		return argv, nil
	}
}

func startEscahttp(w *workshop, c *comparison, addr string) ([]string, error) {
	bin, err := w.goBuild("cmd/escahttp")
	if err != nil {
		return nil, err
	}
	return append(append([]string{bin, "--addr", addr}, w.escaFlags("--", c)...), w.root), nil
}

func startFloor(w *workshop, _ *comparison, addr string) ([]string, error) {
	bin := filepath.Join(w.dir, "epoll")
	err := w.once(bin, func() error {
		if err := os.WriteFile(bin+".c", floorSource, 0o644); err != nil {
			return err
		}
		cc, err := lookPath("cc", "gcc")
		if err != nil {
			return err
		}
		return build(cc, "-O2", "-o", bin, bin+".c")
	})
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(addr)
	return []string{bin, port}, err
}

func startNginx(nopush string) func(*workshop, *comparison, string) ([]string, error) {
	return func(w *workshop, _ *comparison, addr string) ([]string, error) {
		bin, err := lookPath("nginx", "nginx-light")
		if err != nil {
			return nil, err
		}
		conf, err := w.writeConf("nginx", nginxConf, addr, nopush)
		// -e: or it complains of a log directory it may not have.
		return []string{bin, "-e", "stderr", "-p", w.dir, "-c", conf}, err
	}
}

func startLighttpd(w *workshop, _ *comparison, addr string) ([]string, error) {
	bin, err := lookPath("lighttpd", "lighttpd")
	if err != nil {
		return nil, err
	}
	conf, err := w.writeConf("lighttpd", lighttpdConf, addr, "")
	return []string{bin, "-D", "-f", conf}, err
}

// workshop is where servers are built and find their files: a directory that
// lives as long as bench.
type workshop struct {
	dir        string
	root       string         // the files that static file servers serve
	files      map[int][]byte // their content, by size in KiB
	script     string         // wrk's, for pipelined requests
	backend    string         // esca's, if not its default
	loops      int
	profileDir string
	made       map[string]error
}

// fileSizes are those of the ESCA paper that the goals are set for, in KiB.
var fileSizes = []int{1, 20, 100}

func fileName(kib int) string { return fmt.Sprintf("%dk.bin", kib) }

// testFiles is the content of the static files. Random, so that neither a
// server nor the kernel can make anything of it; from a fixed seed, so that
// every run serves the same.
func testFiles() map[int][]byte {
	files := map[int][]byte{}
	for _, kib := range fileSizes {
		var seed [32]byte
		seed[0] = byte(kib)
		files[kib] = make([]byte, kib<<10)
		rand.NewChaCha8(seed).Read(files[kib])
	}
	return files
}

func newWorkshop() (w *workshop, err error) {
	w = &workshop{files: testFiles(), made: map[string]error{}}
	if w.dir, err = os.MkdirTemp("", "esca-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	// nginx's worker is not root, and has to read below it.
	if err := os.Chmod(w.dir, 0o755); err != nil {
		return nil, err
	}
	w.root = filepath.Join(w.dir, "root")
	if err := os.Mkdir(w.root, 0o755); err != nil {
		return nil, err
	}
	old := time.Now().Add(-24 * time.Hour)
	for kib, body := range w.files {
		path := filepath.Join(w.root, fileName(kib))
		if err := os.WriteFile(path, body, 0o644); err != nil {
			return nil, err
		}
		// A file changed this second gets weak validators, or is not cached.
		if err := os.Chtimes(path, old, old); err != nil {
			return nil, err
		}
	}
	w.script = filepath.Join(w.dir, "pipeline.lua")
	return w, os.WriteFile(w.script, pipelineScript, 0o644)
}

func (w *workshop) close() { os.RemoveAll(w.dir) }

// once makes what key names, and remembers a failure too: a peer that cannot be
// built is not built again for every comparison.
func (w *workshop) once(key string, make func() error) error {
	err, ok := w.made[key]
	if !ok {
		err = make()
		w.made[key] = err
	}
	return err
}

func (w *workshop) goBuild(pkg string) (string, error) {
	bin := filepath.Join(w.dir, filepath.Base(pkg))
	return bin, w.once(bin, func() error {
		return build("go", "build", "-o", bin, module+"/"+pkg)
	})
}

func build(argv ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	p, err := startProcess(argv, environment(), nil)
	if err != nil {
		return err
	}
	if err := p.wait(ctx); err != nil {
		return fmt.Errorf("it does not build: %s", firstError(p.stderr.String()))
	}
	return nil
}

// firstError is the first line of a compiler's output that is about an error,
// not about a package.
func firstError(output string) string {
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return "no reason given"
}

func (w *workshop) escaFlags(dash string, c *comparison) []string {
	var flags []string
	loops := w.loops
	if loops == 0 {
		loops = c.loops
	}
	if loops > 0 {
		flags = append(flags, dash+"loops", fmt.Sprint(loops))
	}
	if w.backend != "" {
		flags = append(flags, dash+"backend", w.backend)
	}
	return flags
}

// writeConf fills in a configuration, in a directory that is the server's own.
func (w *workshop) writeConf(name, text, addr, nopush string) (string, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	tmpl, err := template.New(name).Parse(text)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(w.dir, name+"-"+port)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	f, err := os.Create(filepath.Join(dir, name+".conf"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	return f.Name(), tmpl.Execute(f, map[string]string{"Port": port, "Dir": dir, "Root": w.root, "Nopush": nopush})
}
