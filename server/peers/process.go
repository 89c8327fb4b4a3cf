//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// quiet is for how long a process may say nothing before it counts as hung. The
// longest test takes a third of it.
const quiet = 30 * time.Second

// raced is what package testing says of a test with a data race: it has failed, however
// often it passes.
const raced = "race detected during execution of test"

// network is what the tests expect to find: loopback with IPv6, an Ethernet interface
// with addresses of both kinds, and a way for multicast. What cannot be made is missing
// for the original as well, and no test that needs it is compared.
const network = `ip link set lo up
ip link add eth0 type veth peer name p0 &&
ip link set p0 up && ip link set eth0 up && ip addr add 10.99.0.1/24 dev eth0 && ip route add default dev eth0
ip -6 addr add fd00:99::1/64 dev eth0 nodad
exec "$@"`

// process is one run of a test binary.
type process struct {
	*binary
	setting setting
	shard   shard

	results *results
	begun   map[string]bool
	died    bool // not all tests that began have ended
}

// run runs the tests. An error is that there was nothing to run them with.
func (p *process) run() error {
	p.results, p.begun = newResults(), map[string]bool{}
	dir, err := os.MkdirTemp(p.ws.dir, "p")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	work, tmp := filepath.Join(dir, "work"), filepath.Join(dir, "t")
	if err := os.CopyFS(work, os.DirFS(p.source)); err != nil {
		return err
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	count := filepath.Join(dir, "count")
	cmd := exec.Command("sh", "-c", network, "sh", p.file, "-test.v=test2json", "-test.short", "-test.timeout=0", "-test.run="+pattern(p.shard.tests))
	if p.shard.but != nil {
		cmd.Args = append(cmd.Args, "-test.skip="+pattern(p.shard.but))
	}
	cmd.Dir, cmd.Env = work, append(append(os.Environ(), p.setting.env...), "ESCA_PEERS_COUNT="+count, "TMPDIR="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out := &watched{last: time.Now()}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("a process with a network of its own (CLONE_NEWNET; as root, or with user namespaces): %w", err)
	}
	ended := make(chan struct{})
	go out.watch(cmd.Process, ended)
	err = cmd.Wait()
	close(ended)
	text := out.text()
	if *keep {
		os.WriteFile(p.logName(p.setting, p.shard), text, 0o644)
	}
	p.parse(text)
	if text, err := os.ReadFile(count); err == nil {
		c := &p.results.counts
		fmt.Sscanf(string(text), "[%d %d %d %d]", &c[0], &c[1], &c[2], &c[3])
	}
	if err != nil && len(p.begun) == 0 {
		return fmt.Errorf("the tests did not begin: %w\n%s", err, text)
	}
	return nil
}

// parse reads what a test binary has written.
func (p *process) parse(text []byte) {
	conv := p.ws.command(p.source, "go", "tool", "test2json")
	conv.Stdin = bytes.NewReader(text)
	lines, err := conv.Output()
	if err != nil {
		p.results.broken = append(p.results.broken, "go tool test2json: "+err.Error())
	}
	open := map[string]bool{}
	over := false
	for line := range bytes.SplitSeq(lines, []byte("\n")) {
		var ev struct{ Action, Test, Output string }
		if json.Unmarshal(line, &ev) != nil {
			continue
		}
		if ev.Test == "" {
			over = over || ev.Output == "PASS\n" || ev.Output == "FAIL\n"
			continue
		}
		switch ev.Action {
		case "run":
			p.begun[ev.Test], open[ev.Test] = true, true
		case "pass":
			p.results.passed[ev.Test] = true
			delete(open, ev.Test)
		case "fail":
			p.results.failed[ev.Test] = true
			delete(open, ev.Test)
		case "skip":
			delete(open, ev.Test)
		case "output":
			if len(p.results.output[ev.Test]) < 4000 || strings.Contains(ev.Output, raced) {
				p.results.output[ev.Test] += ev.Output
			}
		}
	}
	for name := range open {
		p.results.failed[name] = true
	}
	p.died = !over
}

// watched is the output of a process, which is ended when it says nothing.
type watched struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	last time.Time
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = time.Now()
	return w.buf.Write(b)
}

func (w *watched) text() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Bytes()
}

// watch has a process that is quiet tell where it is, and ends it.
func (w *watched) watch(p *os.Process, ended chan struct{}) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	asked := false
	for {
		select {
		case <-ended:
			return
		case <-t.C:
		}
		w.mu.Lock()
		silent := time.Since(w.last)
		w.mu.Unlock()
		switch {
		case silent < quiet:
		case !asked:
			p.Signal(syscall.SIGQUIT)
			asked = true
		case silent > quiet+10*time.Second:
			p.Kill()
		}
	}
}
