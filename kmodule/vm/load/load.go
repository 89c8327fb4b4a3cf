//go:build linux && amd64

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/server"
)

type load struct {
	server, root    string
	addr            string // of what command starts
	command         []string
	conns, requests int
}

// counted is what the parties have counted so far.
type counted struct {
	cpu             time.Duration // the server has run
	stats           server.Stats
	batches         uint64
	ioctls, crosses uint64
}

func (l *load) run() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	url, command := "http://127.0.0.1:8001/", []string{self, "-serve"}
	if l.server != "" {
		url, command = "http://127.0.0.1:8002/", []string{l.server, "--addr=127.0.0.1:8002", l.root}
	}
	if len(l.command) > 0 {
		url, command = "http://"+l.addr+"/", l.command
	}
	s, err := begin(command)
	if err != nil {
		return err
	}
	defer s.end()
	want, err := first(url)
	if err != nil {
		return err
	}

	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: l.conns, MaxConnsPerHost: l.conns}}
	look := func() (counted, error) {
		c := s.look()
		if !l.own() {
			return c, nil
		}
		b, err := get(client, url+"stats")
		if err == nil {
			err = json.Unmarshal(b, &c.stats)
		}
		return c, err
	}
	if err := l.load(client, url, want, 5); err != nil { // warm
		return err
	}
	before, err := look()
	if err != nil {
		return err
	}
	if err := l.load(client, url, want, l.requests); err != nil {
		return err
	}
	after, err := look()
	if err != nil {
		return err
	}
	return l.judge(before, after)
}

// served is a server's process, and the kernel's counters of it.
type served struct {
	cmd         *exec.Cmd
	all, ioctls counter
}

// begin starts a server.
func begin(command []string) (*served, error) {
	// The shell waits until its counters are there, and becomes the server.
	cmd := exec.Command("/bin/sh", append([]string{"-c", `read go; exec "$@"`, "sh"}, command...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// The runtime's signals to what runs for 10 ms, which is little when it is
	// emulated, would cut batches in two.
	cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1")
	start, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &served{cmd: cmd}
	if s.all, err = openCounter(cmd.Process.Pid, everyCall, ""); err == nil {
		s.ioctls, err = openCounter(cmd.Process.Pid, ioctlCall, ofABatch)
	}
	if err == nil {
		_, err = io.WriteString(start, "go\n")
	}
	if err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

func (s *served) end() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// look is what all but the server itself have counted.
func (s *served) look() counted {
	return counted{batches: moduleBatches(), ioctls: s.ioctls.read(), crosses: s.all.read(), cpu: ran(s.cmd.Process.Pid)}
}

// own reports whether the server is the hello server, which tells what it has counted.
func (l *load) own() bool { return l.server == "" && len(l.command) == 0 }

// first waits for the server, and returns its answer.
func first(url string) (string, error) {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		b, err := get(http.DefaultClient, url)
		if err == nil || time.Now().After(end) {
			return string(b), err
		}
	}
}

func get(c *http.Client, url string) ([]byte, error) {
	resp, err := c.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = errors.New(resp.Status)
	}
	return b, err
}

// load makes n requests on every connection.
func (l *load) load(client *http.Client, url, want string, n int) error {
	errs := make([]error, l.conns)
	var wg sync.WaitGroup
	for i := range l.conns {
		wg.Go(func() { errs[i] = pipeline(strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/"), want, n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// pipeline makes n requests on a connection, one after the other.
func pipeline(addr, want string, n int) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, 4096)
	for range n {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		got := ""
		for !strings.HasSuffix(got, "\r\n\r\n"+want) {
			m, err := c.Read(buf)
			if got += string(buf[:m]); err != nil {
				return fmt.Errorf("%w after %q", err, got)
			}
		}
	}
	return nil
}

// moduleBatches is the module's own count of its crossings, 0 if it is not there.
func moduleBatches() (n uint64) {
	b, _ := os.ReadFile("/sys/kernel/debug/esca/stats")
	fmt.Sscanf(string(b), "batches %d", &n)
	return n
}

// ran is how long the threads of a process have run.
func ran(pid int) (sum time.Duration) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, f := range files {
		var ns int64
		b, _ := os.ReadFile(f)
		fmt.Sscan(string(b), &ns)
		sum += time.Duration(ns)
	}
	return sum
}

// judge prints what was counted between, and says what does not agree.
func (l *load) judge(before, after counted) error {
	requests := float64(l.conns * l.requests)
	batches, ioctls := after.batches-before.batches, after.ioctls-before.ioctls
	crossings, ticks := after.stats.Crossings-before.stats.Crossings, after.stats.Ticks-before.stats.Ticks
	fmt.Printf("%s: server CPU %d ns a request\n", os.Getenv(poller.EnvBackend), int((after.cpu-before.cpu).Nanoseconds())/int(requests))
	fmt.Printf("requests %.0f: batches %d (module), ioctl %d (kernel), all calls %d (%.3f a request)\n",
		requests, batches, ioctls, after.crosses-before.crosses, float64(after.crosses-before.crosses)/requests)
	if batches == 0 && after.stats.Backend != "kmod" {
		return nil // another backend: nothing to compare
	}
	var errs []error
	if !near(batches, ioctls) {
		errs = append(errs, fmt.Errorf("the module has counted %d batches, the kernel %d ioctl", batches, ioctls))
	}
	if !l.own() {
		return errors.Join(errs...)
	}
	fmt.Printf("the server: crossings %d, ticks %d, %.3f and %.3f a request\n", crossings, ticks, float64(crossings)/requests, float64(ticks)/requests)
	var calls []string
	for c := range poller.Calls {
		if n := after.stats.ByCall[c] - before.stats.ByCall[c]; n > 0 {
			calls = append(calls, fmt.Sprintf("%s %d", c, n))
		}
	}
	steals := after.stats.Steals - before.stats.Steals
	fmt.Printf("entries and harvests: %s; steals %d\n", strings.Join(calls, ", "), steals)
	// A loop lets others run by a call that is none of the module's, and may run its table before that.
	yields := after.stats.ByCall[poller.CallOther] - before.stats.ByCall[poller.CallOther]
	if !near(crossings-yields, ioctls) {
		errs = append(errs, fmt.Errorf("the server has counted %d crossings, %d of them to let others run, the kernel %d", crossings, yields, ioctls))
	}
	// Who has lost the loop sends by itself, and so does who writes while it is away.
	if crossings > ticks+2*yields+5+2*steals {
		errs = append(errs, fmt.Errorf("%d ticks took %d crossings", ticks, crossings))
	}
	return errors.Join(errs...)
}

// near allows for the ticks between two looks.
func near(a, b uint64) bool { return max(a, b)-min(a, b) <= 20 }
