//go:build linux

package main

import (
	"bytes"
	"errors"
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
		if pid = m.ready(); seen[pid] {
			t.Fatalf("process %d says again that it is the service", pid)
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

// Who stops the service asks all processes of it. One that another has taken the place of
// lets requests finish all the same, and is stopped at once by the second signal, as any.
func TestStopAfterAnUpgrade(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	const size = 64 << 20 // which no socket holds
	put(t, d+"/large", make([]byte, size))
	for _, twice := range []bool{false, true} {
		t.Run(fmt.Sprintf("twice %v", twice), func(t *testing.T) {
			t.Parallel()
			m := newManager(t)
			p := launchWith(t, []string{m.env()}, "--shutdown-timeout=10m", d)
			old := m.ready()
			p.await(t)
			c, err := net.Dial("tcp", p.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			fmt.Fprintf(c, "GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			syscall.Kill(old, syscall.SIGUSR2)
			pid := m.ready()
			defer syscall.Kill(pid, syscall.SIGKILL)
			eventually(t, "it is upgraded", func() bool { return strings.Contains(p.said(), "upgraded: another process serves") })
			syscall.Kill(old, syscall.SIGTERM)
			syscall.Kill(pid, syscall.SIGTERM)
			eventually(t, "it says that it stops already", func() bool { return strings.Contains(p.said(), "stopping already") })
			eventually(t, "the process that is the service has ended", func() bool { return endedPID(pid) })
			if twice {
				eventually(t, "it is cut off", func() bool {
					syscall.Kill(old, syscall.SIGTERM)
					return strings.Contains(p.said(), "stopped at once: 1 connections were cut off")
				})
				return
			}
			if n, err := io.Copy(io.Discard, c); n < size-1000 || err != nil {
				t.Errorf("%d bytes come, %v", n, err)
			}
			if err := p.ended(t); err != nil {
				t.Error(err)
			}
		})
	}
}

// own is what the tests' own process upgrades with; tableflip allows one.
var own = sync.OnceValues(newUpgrades)

// An upgrade that tableflip takes for too early is asked for again; another failure is one.
func TestUpgradeAsReady(t *testing.T) {
	u, err := own()
	if err != nil {
		t.Fatal(err)
	}
	early, failed := u.Upgrade(), errors.New("failed") // there was no Ready
	for _, c := range []struct {
		name string
		ends []error // of the tries
		want error
	}{
		{"at once", []error{nil}, nil},
		{"early", []error{early, early, nil}, nil},
		{"a failure", []error{failed}, failed},
		{"early, and a failure", []error{early, failed}, failed},
	} {
		t.Run(c.name, func(t *testing.T) {
			tries := 0
			err := asReady(func() error {
				if tries++; tries > len(c.ends) {
					return nil
				}
				return c.ends[tries-1]
			})
			if err != c.want || tries != len(c.ends) {
				t.Errorf("%v after %d tries, want %v after %d", err, tries, c.want, len(c.ends))
			}
		})
	}
}
