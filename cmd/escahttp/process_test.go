//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// process is an escahttp whose log is a file, as that of a service is.
type process struct {
	*exec.Cmd
	addr string
	log  string
	done chan error
}

// launch starts escahttp; stderr nil: a file.
func launch(t *testing.T, stdout, stderr *os.File, args ...string) *process {
	t.Helper()
	p := &process{Cmd: escahttp(append([]string{"--addr=127.0.0.1:0"}, args...)...), done: make(chan error, 1)}
	p.log = filepath.Join(t.TempDir(), "stderr")
	if stderr == nil {
		f, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		stderr = f
	}
	p.Stdout, p.Stderr = stdout, stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.Wait(); close(p.done) }()
	t.Cleanup(func() { p.kill(t) })
	if stderr.Name() == p.log {
		p.await(t)
	}
	return p
}

// begin starts escahttp, and does not wait until it serves.
func begin(t *testing.T, args ...string) *process {
	t.Helper()
	log := filepath.Join(t.TempDir(), "stderr")
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := launch(t, nil, f, args...)
	p.log = log
	return p
}

// await waits until it serves, and takes the address from what it says.
func (p *process) await(t *testing.T) {
	t.Helper()
	eventually(t, "it serves", func() bool {
		m := regexp.MustCompile(`https?://([^/ ,]*)/`).FindStringSubmatch(p.said())
		if m != nil {
			p.addr = m[1]
		}
		return m != nil || strings.Contains(p.said(), "at unix:")
	})
}

func (p *process) said() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

// kill ends it with the test, and tells what it said, if that has failed.
func (p *process) kill(t *testing.T) {
	p.Process.Kill()
	<-p.done
	if t.Failed() {
		t.Logf("it said %s", p.said())
	}
}

// ended waits for the end, and returns what that was.
func (p *process) ended(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.done:
		return err
	case <-time.After(time.Minute):
		t.Fatalf("it does not end; it said %s", p.said())
		return nil
	}
}

// get fetches a path, on a connection of its own.
func (p *process) get(t *testing.T, path string, header ...string) (*http.Response, []byte) {
	t.Helper()
	resp, b, err := p.try(path, header...)
	if err != nil {
		t.Fatalf("%s: %v; it said %s", path, err, p.said())
	}
	return resp, b
}

func (p *process) try(path string, header ...string) (*http.Response, []byte, error) {
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	return exchange(c, path, header...)
}

func exchange(c net.Conn, path string, header ...string) (*http.Response, []byte, error) {
	c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n", path)
	for i := 0; i < len(header); i += 2 {
		fmt.Fprintf(c, "%s: %s\r\n", header[i], header[i+1])
	}
	io.WriteString(c, "\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, b, err
}

// eventually waits until ok, looking again and again.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come about that %s", what)
		}
	}
}

func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func repeat(c byte, n int) []byte { return bytes.Repeat([]byte{c}, n) }

// opens returns what the descriptors of p lead to beneath dir.
func (p *process) opens(dir string) (names []string) {
	links, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Process.Pid))
	for _, l := range links {
		if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", p.Process.Pid, l.Name())); err == nil && strings.HasPrefix(to, dir) {
			names = append(names, to)
		}
	}
	return names
}
