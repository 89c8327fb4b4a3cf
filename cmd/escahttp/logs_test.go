//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// Whoever reads standard error, or the access log, may go away.
func TestReaderOfLogsGoesAway(t *testing.T) {
	d := t.TempDir()
	put(t, d+"/a", []byte("hi"))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := launch(t, w, w, "--access-log=-", d)
	w.Close()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	p.addr = regexp.MustCompile(`http://([^/]*)/`).FindStringSubmatch(line)[1]
	r.Close()
	for range 3 {
		c := connect(t, p.addr)
		io.WriteString(c, "BAD\r\n\r\n") // a line on standard error, and one in the access log
		if line, err := c.r.ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 400 ") {
			t.Fatalf("%q, %v", line, err)
		}
		if _, b := p.get(t, "/a"); string(b) != "hi" {
			t.Errorf("%q", b)
		}
	}
	p.Process.Signal(syscall.SIGTERM)
	if err := p.ended(t); err != nil {
		t.Error(err)
	}
}

// An access log that nobody reads keeps nobody waiting; what it loses is said.
func TestLogThatNobodyReads(t *testing.T) {
	p, r := stalledLog(t)
	c := connect(t, p.addr)
	long := "/" + strings.Repeat("x", 8000)
	for range 1000 { // 8 MB of log: more than the pipe and the queue take
		c.ask(t, long)
	}
	eventually(t, "it says that lines are dropped", func() bool { return strings.Contains(p.said(), "access log - takes no more lines") })
	go io.Copy(io.Discard, r)
	eventually(t, "it says how many were lost", func() bool {
		c.ask(t, "/")
		return regexp.MustCompile(`access log - takes lines again: \d+ were lost`).MatchString(p.said())
	})
}

func TestFullDiskIsSaidWhenItBegins(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("needs /dev/full")
	}
	p := launch(t, nil, nil, "--access-log=/dev/full", t.TempDir())
	for range 3 {
		p.get(t, "/a")
		eventually(t, "it says so", func() bool { return strings.Contains(p.said(), "no space") })
	}
	p.Process.Signal(syscall.SIGTERM)
	p.ended(t)
	if n := strings.Count(p.said(), "no space"); n != 1 {
		t.Errorf("it says so %d times: %s", n, p.said())
	}
}

// Malformed requests cannot fill the disk.
func TestClientsCannotFillTheLog(t *testing.T) {
	p := launch(t, nil, nil, t.TempDir())
	before := len(p.said())
	request := "GET /" + strings.Repeat("\x01", 15_000) + " HTTP/1.1\r\n\r\n"
	for range 300 {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, request)
		io.Copy(io.Discard, c)
		c.Close()
	}
	if grown := len(p.said()) - before; grown == 0 || grown > 40_000 {
		t.Errorf("%d bytes of requests made %d bytes of log", 300*len(request), grown)
	}
	for _, line := range strings.Split(p.said(), "\n") {
		if len(line) > 600 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}

func TestAccessLogOverAUnixSocket(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/a", []byte("hi"))
	log, sock := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "s")
	p := launch(t, nil, nil, "--addr=unix:"+sock, "--access-log="+log, dir)
	for range 2 {
		c, err := net.Dial("unix", sock)
		if err != nil {
			t.Fatal(err)
		}
		if _, b, err := exchange(c, "/a"); string(b) != "hi" {
			t.Fatal(string(b), err)
		}
		c.Close()
	}
	p.Process.Signal(syscall.SIGTERM)
	p.ended(t)
	b, _ := os.ReadFile(log)
	if !regexp.MustCompile(`^(unix: - - \[[^\]]*\] "GET /a HTTP/1.1" 200 2\n){2}$`).Match(b) {
		t.Errorf("the log says %q", b)
	}
}

// SIGHUP has the log rotated: nothing is lost, and what comes later is in the new
// file.
func TestRotation(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	p := launch(t, nil, nil, "--access-log="+log, t.TempDir())
	const rounds = 5
	for i := range rounds {
		p.get(t, fmt.Sprintf("/%d", i))
		os.Rename(log, fmt.Sprintf("%s.%d", log, i))
		p.Process.Signal(syscall.SIGHUP)
		eventually(t, "it says so", func() bool { return strings.Count(p.said(), "access log "+log+" reopened") == i+1 })
	}
	p.Process.Signal(syscall.SIGTERM)
	p.ended(t)
	all := ""
	for i := range rounds {
		b, _ := os.ReadFile(fmt.Sprintf("%s.%d", log, i))
		all += string(b)
	}
	b, err := os.ReadFile(log)
	all += string(b)
	if strings.Count(all, "\n") != rounds || err != nil {
		t.Errorf("%v; all files together: %q", err, all)
	}
}

// A log that cannot be opened anew goes on where it was.
func TestRotationThatFails(t *testing.T) {
	d := filepath.Join(t.TempDir(), "d")
	os.Mkdir(d, 0o755)
	p := launch(t, nil, nil, "--access-log="+d+"/log", t.TempDir())
	os.Rename(d, d+".away")
	p.Process.Signal(syscall.SIGHUP)
	eventually(t, "it says so", func() bool { return strings.Contains(p.said(), "the access log goes on where it was") })
	p.get(t, "/x")
	p.Process.Signal(syscall.SIGTERM)
	p.ended(t)
	if b, _ := os.ReadFile(d + ".away/log"); !strings.Contains(string(b), "GET /x") {
		t.Errorf("the log says %q", b)
	}
}

// One address has no more connections than it may, and each answer has its line.
func TestConnectionsPerAddress(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	p := launch(t, nil, nil, "--max-conns-per-ip=2", "--access-log="+log, t.TempDir())
	a, b := connect(t, p.addr), connect(t, p.addr)
	a.ask(t, "/")
	b.ask(t, "/")
	third := connect(t, p.addr)
	if resp, err := http.ReadResponse(third.r, nil); err != nil || resp.StatusCode != 429 {
		t.Fatal(resp, err)
	}
	a.Close()
	eventually(t, "there is room again", func() bool {
		resp, _, err := p.try("/")
		return err == nil && resp.StatusCode == 404
	})
	eventually(t, "all are logged", func() bool { l, _ := os.ReadFile(log); return strings.Contains(string(l), `"-" 429 `) })
}

// At level error it serves without a word.
func TestLogLevel(t *testing.T) {
	t.Parallel()
	socket := t.TempDir() + "/socket"
	p := begin(t, "--addr=unix:"+socket, "--log-level=error", t.TempDir())
	eventually(t, "it serves", func() bool {
		c, err := net.Dial("unix", socket)
		if err != nil {
			return false
		}
		defer c.Close()
		_, _, err = exchange(c, "/")
		return err == nil
	})
	p.Process.Signal(syscall.SIGTERM)
	if err := p.ended(t); err != nil || p.said() != "" {
		t.Errorf("%v; it said %s", err, p.said())
	}
}
