//go:build linux

package main

import (
	"embed"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

//go:embed hooks
var hooks embed.FS

// workspace is a directory with copies of the peers, which esca is built with as well.
type workspace struct{ dir, esca string }

func newWorkspace() (*workspace, error) {
	esca, err := root()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "esca-peers-")
	if err != nil {
		return nil, err
	}
	ws := &workspace{dir, esca}
	work := "go " + strings.TrimPrefix(runtime.Version(), "go") + "\n\nuse " + esca + "\nuse " + filepath.Join(esca, "server") + "\n"
	replaced, err := ws.replaced()
	if err != nil {
		return nil, err
	}
	work += replaced
	for _, p := range peers {
		if err := ws.copy(p); err != nil {
			ws.remove()
			return nil, err
		}
		work += "use ./" + p.name + "\n"
	}
	return ws, os.WriteFile(filepath.Join(dir, "go.work"), []byte(work), 0o644)
}

// replaced is what esca's go.work says of the versions at which its modules require each other.
func (ws *workspace) replaced() (all string, err error) {
	text, err := os.ReadFile(filepath.Join(ws.esca, "go.work"))
	for line := range strings.Lines(string(text)) {
		if what, to, ok := strings.Cut(strings.TrimSpace(line), " => ."); ok {
			all += "replace " + what + " => " + filepath.Join(ws.esca, to) + "\n"
		}
	}
	return all, err
}

func (ws *workspace) remove() {
	if *keep {
		fmt.Println("the workspace is", ws.dir)
		return
	}
	os.RemoveAll(ws.dir)
}

// copy copies p's module out of the module cache, and puts the hooks in.
func (ws *workspace) copy(p peer) error {
	out, err := ws.command(ws.esca, "go", "list", "-m", "-f", "{{.Dir}}", p.module).Output()
	from := strings.TrimSpace(string(out))
	if err != nil || from == "" {
		return fmt.Errorf("%s is not in the module cache (go mod download): %v", p.module, err)
	}
	to := filepath.Join(ws.dir, p.name)
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	write := func(name, text string) error { return os.WriteFile(filepath.Join(to, name), []byte(text), 0o644) }
	for name, text := range p.vars {
		if err := write(name, text); err != nil {
			return err
		}
	}
	for hook, name := range map[string]string{p.name: "esca_hook_test.go", "common": "esca_common_test.go"} {
		text, err := hooks.ReadFile("hooks/" + hook + ".go.txt")
		if err != nil {
			return err
		}
		if err := write(name, strings.Replace(string(text), "package PEER_test", "package "+p.name+"_test", 1)); err != nil {
			return err
		}
	}
	for _, in := range p.inserts {
		text, err := os.ReadFile(filepath.Join(to, in.file))
		if err != nil {
			return err
		}
		if strings.Count(string(text), in.line+"\n") != 1 {
			return fmt.Errorf("%s/%s has no line %q: this version begins to serve elsewhere: change server/peers/table.go", p.module, in.file, in.line)
		}
		os.Chmod(filepath.Join(to, in.file), 0o644)
		if err := write(in.file, strings.Replace(string(text), in.line, in.line+"\n\t"+in.text, 1)); err != nil {
			return err
		}
	}
	for _, w := range p.wraps {
		text, err := os.ReadFile(filepath.Join(to, w.file))
		if err != nil {
			return err
		}
		if !w.call.Match(text) {
			return fmt.Errorf("%s/%s has no %s: change server/peers/table.go", p.module, w.file, w.call)
		}
		os.Chmod(filepath.Join(to, w.file), 0o644)
		if err := write(w.file, w.call.ReplaceAllString(string(text), w.by)); err != nil {
			return err
		}
	}
	return nil
}

// build builds p's tests.
func (ws *workspace) build(p peer) (*binary, error) {
	b := &binary{peer: p, file: filepath.Join(ws.dir, p.name+".test"), source: filepath.Join(ws.dir, p.name), ws: ws}
	if err := ws.compile(p, b.file, fmt.Sprintf("-race=%v", *race)); err != nil {
		return nil, err
	}
	out, err := ws.command(b.source, b.file, "-test.list=^Test").Output()
	if err != nil {
		return nil, fmt.Errorf("listing the tests of %s: %w", p.module, err)
	}
	b.tests = strings.Fields(string(out))
	if b.declaredIn, err = declarations(b.source); err != nil {
		return nil, err
	}
	for _, s := range p.settings {
		for _, file := range s.files {
			if !slices.Contains(slices.Collect(maps.Values(b.declaredIn)), file) {
				return nil, fmt.Errorf("%s has no tests in %s: change server/peers/table.go", p.module, file)
			}
		}
	}
	return b, nil
}

// compile builds p's tests as file. Without the race detector that is a static program.
func (ws *workspace) compile(p peer, file, race string) error {
	cmd := ws.command(filepath.Join(ws.dir, p.name), "go", "test", "-c", "-o", file, race, ".")
	cmd.Env = append(cmd.Env, "GOWORK="+filepath.Join(ws.dir, "go.work"))
	if race == "-race=false" {
		cmd.Env = append(cmd.Env, "CGO_ENABLED=0")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the tests of %s: %w\n%s", p.module, err, out)
	}
	return nil
}

var declaration = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

// declarations tells the file of each test in dir.
func declarations(dir string) (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	in := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, m := range declaration.FindAllSubmatch(text, -1) {
			in[string(m[1])] = filepath.Base(file)
		}
	}
	return in, err
}

func (ws *workspace) command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=")
	return cmd
}
