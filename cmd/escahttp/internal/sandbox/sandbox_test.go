//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The test binary is a program in a sandbox when it is told to be.
func TestMain(m *testing.M) {
	switch os.Getenv("SANDBOX_TEST") {
	case "":
		os.Exit(m.Run())
	case "in":
		in(os.Getenv("SANDBOX_DIR"))
	case "without Landlock":
		if err := Refuse([]uint32{unix.SYS_LANDLOCK_CREATE_RULESET}, unix.ENOSYS); err != nil {
			fmt.Println(err)
		}
		report(Apply(Rules{}))
	case "without seccomp":
		if err := Refuse([]uint32{unix.SYS_SECCOMP}, unix.ENOSYS); err != nil {
			fmt.Println(err)
		}
		report(Apply(Rules{}))
	case "kmod":
		report(Apply(Rules{NoFilter: "the module"}))
	case "user":
		u, err := LookUser("nobody")
		if err != nil {
			fmt.Println(err)
			os.Exit(0)
		}
		everyThread(func() {})
		fmt.Println(u, u.Is(), u.Drop(), u.Is(), os.Getuid() == u.uid, os.Getgid() == u.gid, errors.Is(syscallSetuid(), unix.EPERM), u.Drop())
	}
	os.Exit(0)
}

func syscallSetuid() error { return unix.Setuid(0) }

func report(inForce []string, missing []error) {
	fmt.Println(strings.Join(inForce, ", "), missing)
}

// everyThread runs f on several threads that were there before.
func everyThread(f func()) {
	const threads = 8
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for range threads {
		ready.Add(1)
		done.Go(func() {
			runtime.LockOSThread()
			ready.Done()
			<-start
			f()
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

// in tries what is allowed in a sandbox, and what is not, and says what was otherwise.
func in(d string) {
	const threads = 8
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	check := func(what string, got error, want error) {
		if !errors.Is(got, want) && !(want == nil && got == nil) {
			fmt.Printf("%s: %v, want %v\n", what, got, want)
		}
	}
	for i := range threads {
		ready.Add(1)
		done.Go(func() {
			runtime.LockOSThread() // one that is there before
			ready.Done()
			<-start
			_, err := os.ReadFile(d + "/read/a")
			check("to read", err, nil)
			_, err = os.ReadFile(d + "/else/a")
			check("to read elsewhere", err, unix.EACCES)
			check("to write what is to be read", os.WriteFile(d+"/read/a", nil, 0o600), unix.EACCES)
			name := fmt.Sprint(d, "/write/", i)
			check("to write", os.WriteFile(name, []byte("x"), 0o600), nil)
			check("to rename", os.Rename(name, name+"+"), nil)
			check("to remove", os.Remove(name+"+"), nil)
			check("to remove what is to be read", os.Remove(d+"/read/a"), unix.EACCES)
			check("to unshare", unix.Unshare(unix.CLONE_NEWUTS), unix.EPERM)
			check("to mount", unix.Mount("none", d, "tmpfs", 0, ""), unix.EPERM)
			check("to trace", unix.PtraceAttach(os.Getppid()), unix.EPERM)
			check("to become another", unix.Setuid(1), unix.EPERM)
			nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
			check("no_new_privs", err, nil)
			if nnp != 1 {
				fmt.Println("new privileges may be had")
			}
		})
	}
	ready.Wait()
	inForce, missing := Apply(Rules{Read: []string{d + "/read", d + "/nowhere"}, Write: []string{d + "/write"}, Run: []string{"/bin", "/usr", "/lib", "/lib64"}, Devices: []string{"/dev/null"}})
	close(start)
	done.Wait()
	check("to run a program", exec.Command("/bin/sh", "-c", "exit 0").Run(), nil)
	for _, flag := range []uintptr{unix.CLONE_NEWUSER, unix.CLONE_NEWNS, unix.CLONE_NEWUTS | unix.CLONE_NEWNET} {
		inNew := exec.Command("/bin/sh", "-c", "exit 0")
		inNew.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flag}
		check(fmt.Sprintf("to run a program in namespaces of its own (%#x)", flag), inNew.Run(), unix.EPERM)
	}
	_, _, e := unix.Syscall(unix.SYS_CLONE3, 0, 0, 0)
	check("what a filter cannot look into", e, unix.ENOSYS)
	check("to run one that is to be read", exec.Command(d+"/read/program").Run(), unix.EACCES)
	report(inForce, missing)
}

func sandboxed(t *testing.T, what, dir string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SANDBOX_TEST="+what, "SANDBOX_DIR="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// What is not allowed is refused to all threads, and what is is not.
func TestApply(t *testing.T) {
	d := t.TempDir()
	for _, name := range []string{"read", "write", "else"} {
		if err := os.Mkdir(d+"/"+name, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(d+"/"+name+"/a", []byte("a"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(d+"/read/program", []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	out := sandboxed(t, "in", d)
	if !strings.HasPrefix(out, "Landlock (ABI ") || !strings.Contains(out, "calls are refused), no new privileges []\n") {
		t.Error(out)
	}
}

// What cannot be had is said.
func TestMissing(t *testing.T) {
	for what, want := range map[string]string{
		"without Landlock": "seccomp (",
		"without seccomp":  "[no seccomp filter: function not implemented]",
		"kmod":             "[no seccomp filter: the module]",
	} {
		out := sandboxed(t, what, "")
		if !strings.Contains(out, want) {
			t.Errorf("%s: %s", what, out)
		}
		if what == "without Landlock" && !strings.Contains(out, "[no Landlock: ") {
			t.Errorf("%s: %s", what, out)
		}
	}
}

func TestDrop(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, who may become another")
	}
	if out := sandboxed(t, "user", ""); out != "nobody false <nil> true true true true <nil>\n" {
		t.Error(out)
	}
	if _, err := LookUser("no-such-user"); err == nil {
		t.Error("there is such a user")
	}
}
