//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// ended reports whether there is no such process any more.
func endedPID(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(stat, []byte(") Z "))
}

// Another process takes the place of the one that serves, several times, while clients of
// several kinds ask; no request fails. What the new ones serve is what their configuration
// says then.
func TestUpgrade(t *testing.T) {
	for _, sandbox := range []string{"off", "required"} {
		t.Run("sandbox "+sandbox, func(t *testing.T) {
			t.Parallel()
			upgrade(t, "--sandbox="+sandbox)
		})
	}
}

func upgrade(t *testing.T, args ...string) {
	d := t.TempDir()
	content := repeat('a', 100_000)
	put(t, d+"/site/a.txt", content)
	m := newManager(t)
	socket, conf := filepath.Join(d, "socket"), d+"/conf.toml"
	put(t, conf, []byte("header = '** X-Version: 0'"))
	p := launchWith(t, []string{m.env(), "WATCHDOG_USEC=50000", fmt.Sprintf("WATCHDOG_PID=%d", os.Getpid())},
		append(args, "--listen=unix:"+socket, "--admin-addr=127.0.0.1:0", "--config="+conf, "--loops=2", "--access-log="+d+"/log", d+"/site")...)
	pid := m.ready()
	t.Cleanup(func() {
		if !endedPID(pid) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	p.await(t)
	admin := p.admin(t)
	var asked atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	load := func(what string, ask func() (string, error)) {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if b, err := ask(); err != nil || b != string(content) {
					t.Errorf("%s: %d bytes, %v", what, len(b), err)
					return
				}
				asked.Add(1)
			}
		})
	}
	// No client tries anything twice, but those that keep connections alive: on one that
	// the server has closed while it was idle they have to.
	for range 2 {
		kept := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
		load("kept alive", func() (string, error) {
			r, err := kept.Get("http://" + p.addr + "/a.txt")
			if err != nil {
				return "", err
			}
			defer r.Body.Close()
			b, err := io.ReadAll(r.Body)
			return string(b), err
		})
		load("a connection each", func() (string, error) {
			_, b, err := p.try("/a.txt")
			return string(b), err
		})
		load("a unix socket", func() (string, error) {
			c, err := net.Dial("unix", socket)
			if err != nil {
				return "", err
			}
			defer c.Close()
			_, b, err := exchange(c, "/a.txt")
			return string(b), err
		})
	}
	seen := map[int]bool{}
	for i := 1; i <= 3; i++ {
		before := asked.Load()
		eventually(t, "there is load", func() bool { return asked.Load() > before+20 })
		version := fmt.Sprint(i)
		put(t, conf, []byte("header = '** X-Version: "+version+"'"))
		syscall.Kill(pid, syscall.SIGUSR2)
		old := pid
		seen[old] = true
		for seen[pid] { // those before say that they are ready, too, as they read their configuration
			pid = m.ready()
		}
		m.told("WATCHDOG=1")
		eventually(t, "the process before has ended", func() bool { return endedPID(old) })
		if r, _ := p.get(t, "/a.txt"); r.Header.Get("X-Version") != version {
			t.Errorf("it serves version %s, not %s", r.Header.Get("X-Version"), version)
		}
		if r, _ := p.curl(t, admin+"/readyz"); r.StatusCode != 200 {
			t.Errorf("readiness: %s", r.Status)
		}
	}
	if err := p.ended(t); err != nil {
		t.Errorf("the first process: %v", err)
	}
	// One that cannot start changes nothing.
	put(t, conf, []byte("nonsense = 1"))
	syscall.Kill(pid, syscall.SIGUSR2)
	eventually(t, "it says that it has failed", func() bool { return strings.Contains(p.said(), "the upgrade has failed: ") })
	before := asked.Load()
	eventually(t, "there is load", func() bool { return asked.Load() > before+20 })
	close(stop)
	clients.Wait()
	syscall.Kill(pid, syscall.SIGTERM)
	eventually(t, "the last process has ended", func() bool { return endedPID(pid) })
	if _, err := os.Stat(socket); err == nil {
		t.Error("the unix socket is still there")
	}
	if _, _, err := p.try("/a.txt"); err == nil {
		t.Error("somebody still serves")
	}
	if strings.Contains(p.said(), "cut off") {
		t.Errorf("it said %s", p.said())
	}
}
