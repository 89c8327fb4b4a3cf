//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// missing skips a test for which a program is not installed; it fails if ESCA_REQUIRE names
// that.
func missing(t *testing.T, name, remedy string) {
	t.Helper()
	if strings.Contains(","+os.Getenv("ESCA_REQUIRE")+",", ","+name+",") {
		t.Fatalf("%s is not installed, and ESCA_REQUIRE names it: %s", name, remedy)
	}
	t.Skipf("needs %s: %s", name, remedy)
}

// manager is a double of systemd, to which a service says what becomes of it.
type manager struct {
	t       *testing.T
	address string

	mu   sync.Mutex
	all  []string // messages
	next int      // the first that nobody has looked at
}

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{t: t, address: filepath.Join(t.TempDir(), "notify")}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.all = append(m.all, string(b[:n]))
			m.mu.Unlock()
		}
	}()
	return m
}

func (m *manager) env() string { return "NOTIFY_SOCKET=" + m.address }

// told waits for a message with these beginnings of lines, and returns it.
func (m *manager) told(lines ...string) (text string) {
	m.t.Helper()
	eventually(m.t, fmt.Sprintf("it is told %q", lines), func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		for ; m.next < len(m.all); m.next++ {
			text = m.all[m.next]
			if !slices.ContainsFunc(lines, func(l string) bool { return !strings.Contains("\n"+text, "\n"+l) }) {
				m.next++
				return true
			}
		}
		return false
	})
	return text
}

var mainPID = regexp.MustCompile(`(?m)^MAINPID=(\d+)$`)

// ready waits until a process serves, and returns its number.
func (m *manager) ready() int {
	m.t.Helper()
	pid, err := strconv.Atoi(mainPID.FindStringSubmatch(m.told("READY=1\n", "MAINPID=", "STATUS=serving "))[1])
	if err != nil {
		m.t.Fatal(err)
	}
	return pid
}

func TestNotify(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	p := launchWith(t, []string{m.env(), "WATCHDOG_USEC=50000"}, t.TempDir())
	if pid := m.ready(); pid != p.Process.Pid {
		t.Errorf("the service is process %d, not %d", pid, p.Process.Pid)
	}
	for range 3 {
		m.told("WATCHDOG=1")
	}
	p.await(t)
	p.Process.Signal(syscall.SIGHUP)
	m.told("RELOADING=1\n", "MONOTONIC_USEC=")
	if text := m.told("READY=1\n", "STATUS=serving "); mainPID.MatchString(text) {
		t.Errorf("once it has reloaded it says %q: the next process may have taken its place", text)
	}
	p.Process.Signal(syscall.SIGTERM)
	m.told("STOPPING=1\n")
	if err := p.ended(t); err != nil {
		t.Error(err)
	}
}

// launchWith starts escahttp with more in its environment, at an address of its own.
func launchWith(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	return launchCmd(t, escahttp(append([]string{"--addr=127.0.0.1:0"}, args...)...), env)
}

// launchCmd starts cmd, which is or becomes escahttp. It does not wait until it serves.
func launchCmd(t *testing.T, cmd *exec.Cmd, env []string) *process {
	t.Helper()
	p := &process{Cmd: cmd, done: make(chan error, 1), log: filepath.Join(t.TempDir(), "stderr")}
	f, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p.Stdout, p.Stderr, p.Env = f, f, append(append(os.Environ(), "ESCAHTTP_TEST_MAIN=1"), env...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.Wait(); close(p.done) }()
	t.Cleanup(func() { p.kill(t) })
	return p
}

// Sockets that systemd has opened are served, and who has connected before is answered.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	site := t.TempDir()
	put(t, site+"/a.txt", []byte("contents"))
	var lns []net.Listener
	var files []*os.File
	for range 2 {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		ln.Close()
		lns, files = append(lns, ln), append(files, f)
	}
	early, err := net.Dial("tcp", lns[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	passing := func(args ...string) *exec.Cmd {
		// As systemd does: the number is that of the process that escahttp will be.
		cmd := exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:more exec "$0" "$@"`, program()}, args...)...)
		cmd.ExtraFiles = files
		return cmd
	}
	p := launchCmd(t, passing("--addr=systemd:web", "--listen=http://systemd:more", site), nil)
	if _, b, err := exchange(early, "/a.txt"); string(b) != "contents" {
		t.Errorf("%q, %v; it said %s", b, err, p.said())
	}
	for _, ln := range lns {
		p.addr = ln.Addr().String()
		if _, b := p.get(t, "/a.txt"); string(b) != "contents" {
			t.Errorf("%q", b)
		}
	}
	p.Process.Signal(syscall.SIGTERM)
	p.ended(t)
	p = launchCmd(t, passing("--addr=systemd", site), nil)
	for _, ln := range lns {
		p.addr = ln.Addr().String()
		p.get(t, "/a.txt")
	}
	for _, args := range [][]string{{"--addr=systemd:nope", site}} {
		p := launchCmd(t, passing(args...), nil)
		if err := p.ended(t); err == nil || !strings.Contains(p.said(), "--addr=systemd:nope: systemd has passed no such socket") {
			t.Errorf("%v; it said %s", err, p.said())
		}
	}
}

// systemd-socket-activate starts it when somebody connects.
func TestSystemdSocketActivate(t *testing.T) {
	t.Parallel()
	activate, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		missing(t, "systemd-socket-activate", "apt-get install systemd")
	}
	d := t.TempDir()
	put(t, d+"/site/a.txt", []byte("contents"))
	socket := d + "/socket"
	p := launchCmd(t, exec.Command(activate, "-l", socket, "--fdname=web", "-E", "ESCAHTTP_TEST_MAIN=1", program(), "--addr=systemd:web", d+"/site"), nil)
	var c net.Conn
	eventually(t, "it can be connected to", func() (ok bool) { c, err = net.Dial("unix", socket); return err == nil })
	defer c.Close()
	if _, b, err := exchange(c, "/a.txt"); string(b) != "contents" {
		t.Errorf("%q, %v; it said %s", b, err, p.said())
	}
	p.Process.Signal(syscall.SIGTERM)
	if err := p.ended(t); err != nil {
		t.Errorf("%v; it said %s", err, p.said())
	}
	if _, err := os.Stat(socket); err != nil {
		t.Errorf("the socket was systemd's: %v", err)
	}
}

// The unit has what it should, and systemd understands it.
func TestUnit(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		missing(t, "systemd-socket-activate", "apt-get install systemd")
	}
	d := t.TempDir()
	unit, err := os.ReadFile("deploy/escahttp.service")
	if err != nil {
		t.Fatal(err)
	}
	// The program is not installed here.
	name := d + "/escahttp.service"
	put(t, name, []byte(strings.ReplaceAll(string(unit), "/usr/local/bin/escahttp", program())))
	if out, err := exec.Command(analyze, "verify", "--man=no", "--recursive-errors=no", name).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
	// 20 of 100 and less is "OK" to systemd, 99 is a unit with nothing of the kind.
	if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20", "--no-pager", name).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
