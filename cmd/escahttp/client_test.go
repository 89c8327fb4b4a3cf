//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// client is a connection that is kept.
type client struct {
	net.Conn
	r *bufio.Reader
}

func connect(t *testing.T, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &client{c, bufio.NewReader(c)}
}

func (c *client) ask(t *testing.T, path string) (*http.Response, []byte) {
	t.Helper()
	c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path)
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

// limitTo limits the descriptors of p.
func limitTo(t *testing.T, p *process, n uint64) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Prlimit(p.Process.Pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(p.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: min(n, old.Max), Max: old.Max}, nil); err != nil {
		t.Fatal(err)
	}
}

// highest returns the highest descriptor of p, below which it fills the gaps by
// connections, so that the next one would be higher.
func highest(t *testing.T, p *process) uint64 {
	t.Helper()
	for {
		links, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		top := 0
		for _, l := range links {
			n, _ := strconv.Atoi(l.Name())
			top = max(top, n)
		}
		if len(links) == top+1 {
			return uint64(top)
		}
		connect(t, p.addr)
		eventually(t, "it is accepted", func() bool {
			now, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Process.Pid))
			return len(now) > len(links)
		})
	}
}
