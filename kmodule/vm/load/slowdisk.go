//go:build linux && amd64

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// diskDelay is what each read of the slow disk takes.
const diskDelay = 500 * time.Millisecond

// neighbours is how many connections ask for what is in memory meanwhile.
const neighbours = 8

// slowDisk has escahttp serve a disk behind dm-delay, and fails unless those who ask for
// what is in memory are answered while somebody waits for the disk. It prints how
// long they waited. The disk has a file system on it.
func slowDisk(server, disk string) error {
	dir, err := os.MkdirTemp("", "slow")
	if err != nil {
		return err
	}
	if err := unix.Mount(disk, dir, "ext2", 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", disk, err)
	}
	small, large := []byte("hello\n"), bytes.Repeat([]byte("0123456789abcdef"), 1<<15)
	for name, content := range map[string][]byte{"index.html": small, "large": large} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	if err := unix.Unmount(dir, 0); err != nil {
		return err
	}
	delayed, remove, err := delay(disk, diskDelay)
	if err != nil {
		return err
	}
	defer remove()
	if err := unix.Mount(delayed, dir, "ext2", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount %s: %w", delayed, err)
	}
	defer unix.Unmount(dir, 0)
	const addr = "127.0.0.1:8003"
	cmd := exec.Command(server, "--addr="+addr, dir)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	url := "http://" + addr + "/"
	if _, err := first(url); err != nil {
		return err
	}
	var beside latencies
	var waits atomic.Bool // for the disk
	errs := make(chan error, neighbours)
	over := make(chan struct{})
	for range neighbours {
		go func() { errs <- beside.ask(addr, &waits, over) }()
	}
	waits.Store(true)
	time.Sleep(time.Second)
	waits.Store(false)
	fmt.Printf("by themselves: %s\n", spread(beside.take()))
	err = readSlowly(url+"large", large, &waits, &beside)
	close(over)
	for range neighbours {
		if e := <-errs; err == nil {
			err = e
		}
	}
	return err
}

// readSlowly gets url while waits is set, and says how its neighbours fared.
func readSlowly(url string, want []byte, waits *atomic.Bool, beside *latencies) error {
	for round := range 3 {
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0); err != nil {
			return err
		}
		began := time.Now()
		waits.Store(true)
		b, err := get(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, url)
		waits.Store(false)
		took := time.Since(began)
		switch all := beside.take(); {
		case err != nil:
			return err
		case !bytes.Equal(b, want):
			return fmt.Errorf("%d bytes of the file, or others than it has", len(b))
		case round == 0 && took < diskDelay:
			return fmt.Errorf("the file was there after %v: the disk is not slow", took)
		case took < diskDelay:
			fmt.Printf("from memory: %v\n", took.Round(time.Millisecond))
		case len(all) < 20:
			return fmt.Errorf("%d answers beside it in %v: it kept its neighbours waiting", len(all), took)
		default:
			fmt.Printf("%s: the file took %v; beside it: %s\n", os.Getenv(poller.EnvBackend), took.Round(time.Millisecond), spread(all))
		}
	}
	return nil
}

// spread says how long all took, which are in order.
func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "no answer"
	}
	at := func(q int) time.Duration { return all[(len(all)-1)*q/100].Round(10 * time.Microsecond) }
	return fmt.Sprintf("%d answers, p50 %v, p99 %v, at most %v", len(all), at(50), at(99), at(100))
}

// latencies are how long answers took.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

// ask makes requests on a connection, one after the other, until over, and keeps how
// long those took that were made while waits was set.
func (l *latencies) ask(addr string, waits *atomic.Bool, over <-chan struct{}) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Minute))
	buf := make([]byte, 4096)
	for {
		select {
		case <-over:
			return nil
		default:
		}
		began, counts := time.Now(), waits.Load()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		for got := ""; !strings.HasSuffix(got, "\r\n\r\nhello\n"); {
			n, err := c.Read(buf)
			if got += string(buf[:n]); err != nil {
				return fmt.Errorf("%w after %q", err, got)
			}
		}
		if counts {
			l.mu.Lock()
			l.all = append(l.all, time.Since(began))
			l.mu.Unlock()
		}
	}
}

// take returns what was kept, in order of length.
func (l *latencies) take() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	slices.Sort(all)
	return all
}
