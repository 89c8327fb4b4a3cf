//go:build unix

package esca_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks are the README's pieces of code in a language.
func blocks(t *testing.T, language string) (all []string) {
	t.Helper()
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(readme(t), -1) {
		all = append(all, m[1])
	}
	if len(all) == 0 {
		t.Fatalf("README.md shows no %s", language)
	}
	return all
}

// packages are those that the README's examples use, by their names.
var packages = map[string]string{
	"server": module("server"), "conn": root + "/conn",
	"fasthttp": "github.com/valyala/fasthttp", "gnet": "github.com/panjf2000/gnet/v2", "http": "net/http", "net": "net",
}

// handlers are what the examples have a handler of.
var handlers = map[string]string{
	"fasthttp": "func handler(*fasthttp.RequestCtx) {}",
	"gnet":     "var handler gnet.EventHandler",
	"http":     "var handler http.Handler",
}

// Both sides of every difference build, with the import that it says and no other
// of the project's.
func TestReadmeDifferences(t *testing.T) {
	for _, block := range blocks(t, "diff") {
		before, after := "", ""
		for line := range strings.Lines(block) {
			switch line[0] {
			case '+':
				after += line[1:]
			case '-':
				before += line[1:]
			default:
				before, after = before+line[1:], after+line[1:]
			}
		}
		for side, code := range map[string]string{"before": before, "after": after} {
			buildMain(t, side, code, block)
		}
	}
}

// buildMain builds a program whose main has these statements, in the workspace.
func buildMain(t *testing.T, side, code, block string) {
	t.Helper()
	var imports, statements, handler string
	said := map[string]bool{}
	for line := range strings.Lines(code) {
		if path, ok := strings.CutPrefix(line, "import "); ok {
			said[strings.Trim(strings.TrimSpace(path), `"`)] = true
			continue
		}
		statements += line
	}
	if strings.Contains(statements, "err := ") {
		statements += "\t_ = err\n"
	}
	for name, decl := range handlers {
		if regexp.MustCompile(`\b` + name + `\.`).MatchString(block) {
			handler = decl
		}
	}
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		if !regexp.MustCompile(`\b` + name + `\.[A-Z]`).MatchString(statements + handler) {
			continue
		}
		path := packages[name]
		if strings.HasPrefix(path, root) && !said[path] {
			t.Errorf("%s: the README does not say that %s is imported:\n%s", side, path, block)
		}
		imports += fmt.Sprintf("import %q\n", path)
	}
	text := "package main\n\n" + imports + "\n" + handler + "\n\nfunc main() {\n" + statements + "}\n"
	// As if it lay below server, whose module has all that is imported.
	dir := t.TempDir()
	main, overlay := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
	there, err := filepath.Abs("server/readme/main.go")
	if err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{there: main}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{main: text, overlay: string(replace)} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "build", "-overlay", overlay, "-o", os.DevNull, "./server/readme").CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s\n%s", side, err, out, text)
	}
}

// What the README shows of a console is what happens.
func TestReadmeConsole(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("what it says of backends is Linux's")
	}
	for _, block := range blocks(t, "console") {
		command, want, _ := strings.Cut(strings.TrimPrefix(block, "$ "), "\n")
		site := t.TempDir()
		if err := os.WriteFile(filepath.Join(site, "index.html"), []byte("hello"), 0o644); err != nil {
			t.Fatal(err)
		}
		// The site is another, the port the kernel's, the backend this machine's.
		pattern := regexp.QuoteMeta(strings.TrimSpace(want))
		for from, to := range map[string]string{
			regexp.QuoteMeta("/path/to/site"): regexp.QuoteMeta(site), regexp.QuoteMeta("localhost:8080"): `\S+:\d+`,
			regexp.QuoteMeta("uring (kmod: unavailable: no /dev/esca: the module is not loaded (make kmod-load))"): `\w+( \(.*\))?`,
		} {
			if !strings.Contains(pattern, from) {
				t.Fatalf("%q is not in what the README shows:\n%s", from, block)
			}
			pattern = strings.Replace(pattern, from, to, 1)
		}
		cmd := exec.Command("sh", "-c", strings.Replace(command, "/path/to/site", site, 1))
		cmd.Env = append(os.Environ(), "ADDR=127.0.0.1:0", "MAKEFLAGS=")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var said []string
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			said = append(said, lines.Text())
			if regexp.MustCompile(`^` + pattern + `$`).MatchString(lines.Text()) {
				pattern = ""
				break
			}
		}
		syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) // Ctrl-C
		cmd.Wait()
		if pattern != "" {
			t.Errorf("%s says %q, want %s", command, said, pattern)
		}
	}
}

// What the READMEs name is there: make's targets, and where links lead.
func TestReadmeLinks(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.md", "cmd/escahttp/README.md", "kmodule/README.md", "kmodule/preload/README.md"} {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(file)
		for _, m := range regexp.MustCompile("(?m)(?:`|^    |^\\$ )(?:[A-Z]+=\\S+ )?make ([a-z][a-z-]*)").FindAllStringSubmatch(text, -1) {
			if !strings.Contains(string(makefile), "\n"+m[1]+":") {
				t.Errorf("%s names make %s, which is not in the Makefile", name, m[1])
			}
		}
		for _, m := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1) {
			switch to := m[1]; {
			case strings.HasPrefix(to, "https://"):
			case strings.HasPrefix(to, "#"):
				if !slices.Contains(anchors(text), to[1:]) {
					t.Errorf("%s leads to %s, and has no such heading", name, to)
				}
			case !exists(filepath.Join(filepath.Dir(name), strings.SplitN(to, "#", 2)[0])):
				t.Errorf("%s leads to %s, which is not there", name, to)
			}
		}
	}
}

// What the README names of files and packages is there.
func TestReadmeNames(t *testing.T) {
	text := readme(t)
	for _, name := range []string{"conn", "server"} {
		exported := exports(t, name)
		for _, m := range regexp.MustCompile(`\b`+name+`\.([A-Z]\w*)`).FindAllStringSubmatch(text, -1) {
			if !exported[m[1]] {
				t.Errorf("README.md names %s.%s, which %s does not export", name, m[1], name)
			}
		}
	}
	// "`loop.tick` in [conn/loop.go](…)": a method, or a function, in that file.
	for _, m := range regexp.MustCompile("(?s)`(?:(\\w+)\\.)?(\\w+)`(?: and `(?:\\w+\\.)?(\\w+)`)? in\\s\\[([^\\]]+\\.go)\\]").FindAllStringSubmatch(text, -1) {
		file, err := os.ReadFile(m[4])
		if err != nil {
			t.Error(err)
		}
		for _, f := range []string{m[2], m[3]} {
			if f != "" && !regexp.MustCompile(`(?m)^func (\(.*\) )?`+f+`\(`).Match(file) {
				t.Errorf("README.md says that %s is in %s, and it is not", f, m[4])
			}
		}
	}
}

// anchors are what headings are called in links.
func anchors(text string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		plain := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(plain, " ", "-"))
	}
	return all
}

// exports are the names that a package of the project exports at its top.
func exports(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					all[d.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						all[s.Name.Name] = true
					case *ast.ValueSpec:
						for _, n := range s.Names {
							all[n.Name] = true
						}
					}
				}
			}
		}
	}
	return all
}
