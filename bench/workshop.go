//go:build linux

package main

import (
	"context"
	"embed"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
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
	//go:embed floor
	floorSource embed.FS
	//go:embed conf/nginx.conf.tmpl
	nginxConf string
	//go:embed conf/lighttpd.conf.tmpl
	lighttpdConf string
	//go:embed conf/h2o.conf.tmpl
	h2oConf string
	//go:embed conf/caddy.json.tmpl
	caddyConf string
	//go:embed conf/wrk-count.lua
	wrkCount []byte
	//go:embed conf/wrk-pipeline.lua
	wrkPipeline []byte
)

// fileSizes are those of the ESCA paper's figures, in KiB.
var fileSizes = []int{1, 4, 20, 40, 100, 200}

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

// workshop is where servers are built and find their files: a directory that
// lives as long as bench.
type workshop struct {
	dir        string
	root       string // the files that static file servers serve
	profileDir string
	made       map[string]error
	old        time.Time // when the files were last changed
	sockets    int
	confs      int
}

func newWorkshop() (w *workshop, err error) {
	w = &workshop{made: map[string]error{}, old: time.Now().Add(-24 * time.Hour)}
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
	for kib, body := range testFiles() {
		if err := w.writeFile(fileName(kib), body); err != nil {
			return nil, err
		}
	}
	for _, p := range sitePages() {
		if err := w.writeFile(p.path, p.body); err != nil {
			return nil, err
		}
	}
	text := textPage()
	for name, body := range map[string][]byte{readyPage: text, readyPage + ".gz": zipped(text), madePage: text} {
		if err := w.writeFile(name, body); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(filepath.Join(w.dir, "wrk-count.lua"), wrkCount, 0o644); err != nil {
		return nil, err
	}
	both := append(append([]byte{}, wrkPipeline...), wrkCount...)
	return w, os.WriteFile(filepath.Join(w.dir, "wrk-pipeline.lua"), both, 0o644)
}

// writeFile writes a file that is served.
func (w *workshop) writeFile(name string, body []byte) error {
	path := filepath.Join(w.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, body, 0o644); err != nil {
		return err
	}
	// A file changed this second gets weak validators, or is not cached; and what is
	// older than what it was made of is not used.
	return os.Chtimes(path, w.old, w.old)
}

func (w *workshop) close() { os.RemoveAll(w.dir) }

// address is one that nobody listens on.
func (w *workshop) address(unix bool) (string, error) {
	if !unix {
		return freeAddr()
	}
	w.sockets++
	return unixPrefix + filepath.Join(w.dir, fmt.Sprintf("socket-%d", w.sockets)), nil
}

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

// goBuildModule builds the command that a module of its own, in this directory
// of the project, is.
func (w *workshop) goBuildModule(dir string) (string, error) {
	bin := filepath.Join(w.dir, filepath.Base(dir))
	return bin, w.once(bin, func() error {
		root, err := projectRoot()
		if err != nil {
			return err
		}
		return build("go", "build", "-C", filepath.Join(root, dir), "-o", bin, ".")
	})
}

func projectRoot() (string, error) {
	// The workspace is asked for first: to list a module, all that it ties have to be there.
	if out, err := exec.Command("go", "env", "GOWORK").Output(); err == nil {
		root := filepath.Dir(strings.TrimSpace(string(out)))
		if _, err := os.Stat(filepath.Join(root, "bench", "go.mod")); err == nil {
			return root, nil
		}
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("go list -m %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}

func build(argv ...string) error {
	if output, err := complete(argv...); err != nil {
		return fmt.Errorf("it does not build: %s", firstError(output))
	}
	return nil
}

// complete runs a command to its end, and returns what it wrote on standard error.
func complete(argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	p, err := startProcess(argv, environment(), nil, nil)
	if err != nil {
		return "", err
	}
	err = p.wait(ctx)
	return p.stderr.String(), err
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

// writeConf fills in a configuration, in a directory that is the server's own.
func (w *workshop) writeConf(name, text string, values map[string]string) (string, error) {
	tmpl, err := template.New(name).Parse(text)
	if err != nil {
		return "", err
	}
	w.confs++
	dir := filepath.Join(w.dir, fmt.Sprintf("%s-%d", name, w.confs))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	f, err := os.Create(filepath.Join(dir, name+".conf"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	all := map[string]string{"Dir": dir, "Root": w.root}
	maps.Copy(all, values)
	return f.Name(), tmpl.Execute(f, all)
}
