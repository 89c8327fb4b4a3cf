//go:build linux && (amd64 || arm64)

package main

import (
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/cmd/escahttp/internal/sandbox"
)

// A kernel without Landlock is one that refuses its calls.
func init() {
	if os.Getenv("ESCAHTTP_TEST_NO_LANDLOCK") != "" {
		sandbox.Refuse([]uint32{unix.SYS_LANDLOCK_CREATE_RULESET}, unix.ENOSYS)
	}
}

// Where not all of it can be had, required does not start, and says why in a line; auto
// takes what there is.
func TestSandboxThatCannotBe(t *testing.T) {
	t.Parallel()
	env := []string{"ESCAHTTP_TEST_NO_LANDLOCK=1"}
	p := launchWith(t, env, "--sandbox=required", t.TempDir())
	if err := p.ended(t); p.ProcessState.ExitCode() != 1 || !regexp.MustCompile(`^escahttp: --sandbox=required: no Landlock: .*\n$`).MatchString(p.said()) {
		t.Errorf("%v; it said %s", err, p.said())
	}
	p = launchWith(t, env, "--sandbox=auto", t.TempDir())
	p.await(t)
	if s := p.said(); !strings.Contains(s, "sandbox: no Landlock: ") || !strings.Contains(s, "sandbox: seccomp (") {
		t.Errorf("it said %s", s)
	}
}

// In a sandbox all goes on that has to: files, logs that are reopened, a configuration that
// is read again; what was not named at the start cannot be had.
func TestSandbox(t *testing.T) {
	for _, backend := range []string{"direct", "auto"} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			d := t.TempDir()
			put(t, d+"/site/a.txt", repeat('a', 100_000))
			put(t, d+"/other/a.txt", []byte("other"))
			put(t, d+"/conf/c.toml", []byte("root = '"+d+"/site'"))
			put(t, d+"/logs/log", nil)
			put(t, d+"/users/users", []byte("u:$2a$04$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"))
			p := launch(t, nil, nil, "--sandbox=required", "--backend="+backend, "--config="+d+"/conf/c.toml", "--access-log="+d+"/logs/log", "--admin-addr=127.0.0.1:0",
				"--basic-auth=/secret/** "+d+"/users/users")
			if !regexp.MustCompile(`sandbox: Landlock \(ABI \d+\), seccomp \(\d+ calls are refused\), no new privileges; reads \S+/conf, \S+/site, \S+/users; writes \S+/logs\n`).MatchString(p.said()) {
				t.Errorf("it said %s", p.said())
			}
			p.answers(t, []ask{
				{"/a.txt", nil, 200, "*", nil},
				{"/secret/a", nil, 401, "*", nil},
				{p.admin(t) + "/readyz", nil, 200, "ok", nil},
			})
			if _, b := p.curl(t, p.admin(t)+"/metrics"); !strings.Contains(string(b), "process_resident_memory_bytes ") {
				t.Errorf("the process is not measured: %s", b)
			}
			put(t, d+"/site/b.txt", []byte("new"))
			p.answers(t, []ask{{"/b.txt", nil, 200, "new", nil}})
			if err := os.Rename(d+"/logs/log", d+"/logs/log.1"); err != nil {
				t.Fatal(err)
			}
			p.Process.Signal(syscall.SIGHUP)
			eventually(t, "the log is another file", func() bool { _, err := os.Stat(d + "/logs/log"); return err == nil })
			p.curl(t, "/a.txt")
			eventually(t, "the log is written", func() bool { b, _ := os.ReadFile(d + "/logs/log"); return len(b) > 0 })
			put(t, d+"/conf/c.toml", []byte("root = '"+d+"/other'"))
			eventually(t, "it says what it cannot read", func() bool { return strings.Contains(p.said(), "the sandbox reads only what was named at the start") })
			p.answers(t, []ask{{"/b.txt", nil, 200, "new", nil}})
		})
	}
}

// Started as root it goes on as another, all threads of it.
func TestUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, who may become another")
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skipf("needs a user to become: %v", err)
	}
	d := t.TempDir()
	for dir := d; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
	put(t, d+"/site/a.txt", []byte("contents"))
	put(t, d+"/site/mine.txt", []byte("mine"))
	if err := os.Chmod(d+"/site/mine.txt", 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, d+"/closed/a.txt", nil)
	if err := os.Chmod(d+"/closed", 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := escahttp("--user=nobody", d+"/closed").CombinedOutput(); err == nil || !strings.Contains(string(out), "--user: ROOT "+d+"/closed may not be entered by this user") {
		t.Errorf("a ROOT that nobody may enter: %v, %s", err, out)
	}
	p := launch(t, nil, nil, "--user=nobody", "--sandbox=required", d+"/site")
	p.answers(t, []ask{{"/a.txt", nil, 200, "contents", nil}, {"/mine.txt", nil, 403, "*", nil}})
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(p.Process.Pid) + "/task/*/status")
	if err != nil || len(tasks) < 2 {
		t.Fatal(tasks, err)
	}
	for _, name := range tasks {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		for _, want := range []string{"Uid:\t" + strings.Repeat(u.Uid+"\t", 3) + u.Uid + "\n", "Gid:\t" + strings.Repeat(u.Gid+"\t", 3) + u.Gid + "\n", "CapEff:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
			if !strings.Contains(string(b), want) {
				t.Errorf("%s has no %q: %s", name, want, b)
			}
		}
	}
}
