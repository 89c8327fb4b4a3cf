//go:build linux && amd64

// Package preloadtest runs programs that nobody has patched with libesca.so
// preloaded, and compares what they answer with what they answer without.
package preloadtest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	built string // where libesca.so, esca-run and traps are: ESCA_PRELOAD_BUILT, or built here
	seeds = 40   // of injected faults, ESCA_PRELOAD_SEEDS
)

func TestMain(m *testing.M) {
	ownNetwork()
	if s, err := strconv.Atoi(os.Getenv("ESCA_PRELOAD_SEEDS")); err == nil && s > 0 {
		seeds = s
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if built = os.Getenv("ESCA_PRELOAD_BUILT"); built != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "preload")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Chmod(dir, 0o755) // servers give up root
	readSources()
	_, noCompiler := exec.LookPath("gcc")
	_, noMake := exec.LookPath("make")
	if noCompiler == nil && noMake == nil {
		if out, err := exec.Command("make", "-s", "-C", "..", "OUT="+dir, "all", "traps").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "libesca.so does not build: %v\n%s", err, out)
			return 1
		}
		built = dir
	}
	return m.Run()
}

// readSources has go test, which keeps results by what a test has opened itself, run
// these again when the library has changed.
func readSources() {
	for _, dir := range []string{"..", "testdata", "../.."} {
		files, _ := filepath.Glob(dir + "/*")
		for _, f := range files {
			os.ReadFile(f)
		}
	}
}

// need returns the path of a program of a Debian package.
func need(t *testing.T, program, pkg string) string {
	t.Helper()
	if built == "" {
		t.Skip("needs gcc and make to build libesca.so: apt-get install gcc libc6-dev make")
	}
	for _, p := range []string{program, "/usr/sbin/" + program, "/usr/bin/" + program} {
		if path, err := exec.LookPath(p); err == nil {
			return path
		}
	}
	if required("preload") {
		t.Fatalf("%s is missing: apt-get install %s", program, pkg)
	}
	t.Skipf("needs %s: apt-get install %s", program, pkg)
	return ""
}

// required says whether ESCA_REQUIRE names something that must not be skipped.
func required(what string) bool {
	return strings.Contains(","+os.Getenv("ESCA_REQUIRE")+",", ","+what+",")
}

// mode is a way to run a program.
type mode struct {
	executor string
	faults   uint64 // seed; 0: none
	apart    bool   // no joining of sends
}

func (m mode) String() string {
	s := m.executor
	if m.apart {
		s += "-apart"
	}
	if m.faults != 0 {
		s += fmt.Sprintf("-faults%d", m.faults)
	}
	return s
}

// executors are those that have to work here; the module is for a guest.
func executors(t *testing.T) []mode {
	if required("kmod") {
		return []mode{{executor: "kmod"}}
	}
	ms := []mode{{executor: "plain"}}
	if out, _ := exec.Command("sh", "-c", built+"/esca-run --executor=uring true 2>&1").Output(); bytes.Contains(out, []byte("esca: uring")) {
		ms = append(ms, mode{executor: "uring"})
	} else {
		t.Logf("uring is left out: %s", out)
	}
	return ms
}

// output collects what a process says.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// process is a program under test.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
	err  error
}

func start(t *testing.T, m mode, argv ...string) *process {
	t.Helper()
	args := append([]string{"--executor=" + m.executor, "--stats"}, argv...)
	if m.apart {
		args = append([]string{"--apart"}, args...)
	}
	p := &process{t: t, cmd: exec.Command(filepath.Join(built, "esca-run"), args...), out: &output{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.WaitDelay = 5 * time.Second
	p.cmd.Env = os.Environ()
	if m.faults != 0 {
		p.cmd.Env = append(p.cmd.Env, fmt.Sprintf("ESCA_PRELOAD_FAULTS=%d", m.faults))
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
		if t.Failed() {
			t.Logf("%v said:\n%s", argv[0], p.out)
		}
	})
	return p
}

// wait waits for the process's end.
func (p *process) wait() error {
	select {
	case <-p.done:
		return p.err
	case <-time.After(60 * time.Second):
		return fmt.Errorf("it has not ended after 60 s")
	}
}

// signalled says whether it was that signal that ended it.
func (p *process) signalled(sig syscall.Signal) bool {
	ws, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && ws.Signaled() && ws.Signal() == sig
}

// stop ends it as its operator would, and fails if that was not clean.
func (p *process) stop(sig syscall.Signal) {
	p.t.Helper()
	p.cmd.Process.Signal(sig)
	if err := p.wait(); err != nil {
		p.t.Errorf("after %v: %v", sig, err)
	}
}

// listening waits until somebody accepts at addr.
func (p *process) listening(addr string) bool {
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		select {
		case <-p.done:
			return false
		case <-ctx.Done():
			p.t.Fatalf("nobody listens at %s", addr)
		default:
		}
		c, err := net.Dial(network, addr)
		if err == nil {
			c.Close()
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// freePort is one that nobody has just now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// runs fails if it is not the executor that it was to be.
func (p *process) runs(m mode) {
	p.t.Helper()
	// It says so before it listens, but what it says has a way of its own.
	eventually(p.t, "it says which executor it has", func() bool { return strings.Contains(p.out.String(), "esca: ") })
	if out := p.out.String(); !strings.Contains(out, "esca: "+m.executor) {
		p.t.Fatalf("it is not %s: %s", m.executor, out)
	}
}

// serve starts a server on a port that configure is given; another one if somebody
// was faster.
func serve(t *testing.T, m mode, configure func(port int) []string) (p *process, addr string) {
	t.Helper()
	for range 5 {
		port := freePort(t)
		addr = fmt.Sprintf("127.0.0.1:%d", port)
		p = start(t, m, configure(port)...)
		if p.listening(addr) {
			p.runs(m)
			return p, addr
		}
	}
	t.Fatalf("the server does not start:\n%s", p.out)
	return nil, ""
}

// pids are the processes of the server's group.
func (p *process) pids() []int {
	var pids []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		b, _ := os.ReadFile(file)
		_, after, _ := strings.Cut(string(b), ") ") // state, parent, group
		if f := strings.Fields(after); len(f) > 2 && f[2] == strconv.Itoa(p.cmd.Process.Pid) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// descriptors counts those of its processes.
func (p *process) descriptors() int {
	n := 0
	for _, pid := range p.pids() {
		entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		n += len(entries)
	}
	return n
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after 30 s still not: %s", what)
		}
	}
}
