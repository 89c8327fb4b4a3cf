// Package esca_test tries what people get who use the project: its modules, as a release
// gives them out, and what the README shows.
package esca_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const root = "github.com/escahttp/esca"

// published are the directories of the modules that others can use.
var published = []string{"", "server", "server/http3", "cmd/escahttp"}

func module(dir string) string { return strings.TrimSuffix(root+"/"+dir, "/") }

// workVersion is the version at which the modules require each other.
func workVersion(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("go.work")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\t` + root + ` (v\S+) => \.$`).FindSubmatch(text)
	if m == nil {
		t.Fatal("go.work does not say at which version " + root + " is replaced by the tree")
	}
	return string(m[1])
}

// user is a module of somebody who uses the project: a directory outside of the
// tree, and an environment in which the go command finds the project as if the
// tree had been released, and everything else where it always does.
type user struct {
	t   *testing.T
	dir string
	env []string
}

func newUser(t *testing.T) *user {
	t.Helper()
	scratch := t.TempDir()
	proxy := filepath.Join(scratch, "proxy")
	for _, dir := range published {
		publish(t, proxy, dir, workVersion(t))
	}
	cached := goEnv(t, "GOMODCACHE")
	u := &user{t: t, dir: filepath.Join(scratch, "user"), env: append(os.Environ(),
		"GOWORK=off", "GOSUMDB=off", "GONOSUMDB=", "GOPRIVATE=", "GONOPROXY=",
		"CGO_ENABLED=0", "GOFLAGS=-modcacherw -trimpath -buildvcs=false", // -trimpath: else nothing of it is in the build cache
		"GOMODCACHE="+filepath.Join(scratch, "modules"), // or the tree would stay in everybody's
		"GOBIN="+filepath.Join(scratch, "bin"),
		"GOPROXY=file://"+filepath.ToSlash(proxy)+",file://"+filepath.ToSlash(cached)+"/cache/download,"+goEnv(t, "GOPROXY"),
	)}
	if err := os.Mkdir(u.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	u.write("go.mod", "module example.org/user\n\ngo "+goDirective(t)+"\n")
	return u
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// goDirective is the version of Go that the project asks for.
func goDirective(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(text)
	if m == nil {
		t.Fatal("go.mod has no go directive")
	}
	return string(m[1])
}

func (u *user) write(name, text string) {
	u.t.Helper()
	if err := os.WriteFile(filepath.Join(u.dir, name), []byte(text), 0o644); err != nil {
		u.t.Fatal(err)
	}
}

// run runs the go command in the user's module.
func (u *user) run(args ...string) string {
	u.t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = u.dir, u.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		u.t.Fatalf("go %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// graph is the modules that go mod graph names, but for the user's own and Go.
func (u *user) graph() []string {
	all := map[string]bool{}
	for _, word := range strings.Fields(u.run("mod", "graph")) {
		path, _, _ := strings.Cut(word, "@")
		all[path] = true
	}
	delete(all, "example.org/user")
	delete(all, "go")
	delete(all, "toolchain")
	return slices.Sorted(maps.Keys(all))
}

// importing makes the user's program one that imports these packages, at the
// versions of these modules.
func (u *user) importing(packages []string, modules ...string) {
	u.t.Helper()
	var text strings.Builder
	text.WriteString("package main\n\n")
	for _, p := range packages {
		fmt.Fprintf(&text, "import _ %q\n", p)
	}
	u.write("main.go", text.String()+"\nfunc main() {}\n")
	for _, m := range modules {
		u.run("mod", "edit", "-require="+m)
	}
	u.run("mod", "tidy")
}

// publish writes the module in dir, as it is, as a version that a file: proxy has.
func publish(t *testing.T, proxy, dir, version string) {
	t.Helper()
	at := filepath.Join(proxy, filepath.FromSlash(module(dir)), "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(".", filepath.FromSlash(dir))
	mod, err := os.ReadFile(filepath.Join(from, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"list": version + "\n", version + ".info": fmt.Sprintf(`{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, version), version + ".mod": string(mod),
	} {
		if err := os.WriteFile(filepath.Join(at, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(at, version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != from && (exists(filepath.Join(path, "go.mod")) || strings.HasPrefix(d.Name(), ".") || d.Name() == "bin"):
			return filepath.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		w, err := z.Create(module(dir) + "@" + version + "/" + filepath.ToSlash(rel))
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Who imports conn gets x/sys, who imports server fasthttp, gnet and x/net, and
// what those need: nothing of escahttp, of the tests, of bench.
func TestWhatUsersGet(t *testing.T) {
	t.Run("conn", func(t *testing.T) {
		t.Parallel()
		u := newUser(t)
		u.importing([]string{root + "/conn", root + "/poller"}, root+"@"+workVersion(t))
		if got, want := u.graph(), []string{root, "golang.org/x/sys"}; !slices.Equal(got, want) {
			t.Errorf("go mod graph of a program that imports conn has %q, want %q", got, want)
		}
	})
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		fasthttp, gnet, net := "github.com/valyala/fasthttp", "github.com/panjf2000/gnet/v2", "golang.org/x/net"
		peers := newUser(t)
		peers.importing([]string{fasthttp, gnet, net + "/http2", net + "/http/httpguts"},
			required(t, "server/go.mod", fasthttp), required(t, "server/go.mod", gnet), required(t, "server/go.mod", net))
		want := append(peers.graph(), root, module("server"))
		slices.Sort(want)
		u := newUser(t)
		u.importing([]string{module("server"), root + "/conn"}, module("server")+"@"+workVersion(t))
		if got := u.graph(); !slices.Equal(got, want) {
			t.Errorf("go mod graph of a program that imports server has\n%q, want what fasthttp, gnet and x/net have, and esca:\n%q", got, want)
		}
	})
}

// required is the version of a module that a go.mod asks for.
func required(t *testing.T, file, path string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(path) + ` (v\S+)`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s does not require %s", file, path)
	}
	return path + "@" + string(m[1])
}

// go install of the released escahttp builds it, which it does not where a go.mod
// replaces something.
func TestGoInstall(t *testing.T) {
	u := newUser(t)
	u.run("install", module("cmd/escahttp")+"@latest")
	bin := filepath.Join(u.dir, "..", "bin", "escahttp")
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	out, err := exec.Command(bin, "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), workVersion(t)) {
		t.Errorf("%s, %v; want version %s", out, err, workVersion(t))
	}
}

// All modules ask for one Go and for each other at one version, which is the one that
// the changelog begins with, and what is tested in the tree is what each has alone.
func TestModulesAgree(t *testing.T) {
	version, directive := workVersion(t), goDirective(t)
	changes, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`(?m)^## (\S+?),? `).FindSubmatch(changes); m == nil || "v"+string(m[1]) != version {
		t.Errorf("CHANGELOG.md does not begin with %s, at which go.work replaces the modules by the tree", version)
	}
	work, err := os.ReadFile("go.work")
	if err != nil {
		t.Fatal(err)
	}
	files := []string{"go.work"}
	for _, m := range regexp.MustCompile(`(?m)^\t(\.\S*)$`).FindAllSubmatch(work, -1) {
		files = append(files, filepath.Join(string(m[1]), "go.mod"))
	}
	chosen := map[string]string{}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Path}} {{.Version}}", "all").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		path, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		chosen[path] = v
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "\ngo "+directive+"\n") && !strings.HasPrefix(string(text), "go "+directive+"\n") {
			t.Errorf("%s does not say go %s, as go.mod does", file, directive)
		}
		if file == "go.work" {
			continue
		}
		if strings.Contains(string(text), "\nreplace ") {
			t.Errorf("%s replaces a module: go install refuses that, and go.work is for it", file)
		}
		for _, m := range regexp.MustCompile(`(?m)^(?:require )?\s*(\S+\.\S+/\S+) (v\S+)`).FindAllStringSubmatch(string(text), -1) {
			want := chosen[m[1]]
			if m[1] == root || strings.HasPrefix(m[1], root+"/") {
				want = version
			}
			if m[2] != want {
				t.Errorf("%s requires %s %s, and the tree has %s (make tidy)", file, m[1], m[2], want)
			}
		}
	}
}
