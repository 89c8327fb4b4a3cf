//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// terminalOf opens a terminal: what is written to it is on screen.
func terminalOf(t *testing.T) (end *os.File, screen func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if end, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var shown bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			mu.Lock()
			shown.Write(b[:n])
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { end.Close(); <-done; master.Close() }) // when all have closed their ends
	return end, func() string {
		mu.Lock()
		defer mu.Unlock()
		return shown.String()
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/a.txt", []byte("a"))
	t.Setenv("TERM", "xterm")
	for _, noColor := range []string{"", "1"} {
		t.Setenv("NO_COLOR", noColor)
		end, screen := terminalOf(t)
		p := launch(t, end, nil, "--addr=:0", "--open", dir)
		eventually(t, "it says where", func() bool {
			return regexp.MustCompile(`other devices find it on http://[0-9.]+:\d+/|no other device finds it`).MatchString(p.said())
		})
		if strings.Contains(p.said(), "no other device") {
			t.Skip("the machine has no address but its own")
		}
		p.get(t, "/a.txt")
		p.get(t, "/nope")
		eventually(t, "requests are shown", func() bool { return strings.Contains(screen(), "/nope") && strings.Contains(screen(), "/a.txt") })
		got := screen()
		if noColor == "" != strings.Contains(got, "\x1b[32m200\x1b[0m GET /a.txt ") || noColor == "" != strings.Contains(got, "\x1b[33m404\x1b[0m GET /nope ") || noColor != "" && strings.Contains(got, "\x1b") {
			t.Errorf("NO_COLOR=%s: %q", noColor, got)
		}
		if strings.Count(got, "█") < 100 {
			t.Errorf("there is no code: %q", got)
		}
	}
}

// Where nobody looks, there is neither a code nor a log.
func TestOpenWithoutATerminal(t *testing.T) {
	t.Parallel()
	out, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := launch(t, out, nil, "--open", t.TempDir())
	p.get(t, "/")
	eventually(t, "it says so", func() bool { return strings.Contains(p.said(), "--open: no other device finds it") })
	p.Process.Signal(unix.SIGTERM)
	if err := p.ended(t); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(out.Name()); len(b) != 0 {
		t.Errorf("%q", b)
	}
}

func TestOutside(t *testing.T) {
	lan := net.IPv4(192, 168, 1, 2)
	for _, tt := range []struct {
		addr   net.Addr
		secure bool
		lan    net.IP
		want   string
	}{
		{&net.TCPAddr{IP: net.IPv6unspecified, Port: 80}, false, lan, "http://192.168.1.2:80/"},
		{&net.TCPAddr{IP: net.IPv4zero, Port: 443}, true, lan, "https://192.168.1.2:443/"},
		{&net.TCPAddr{IP: net.IPv4zero, Port: 80}, false, nil, ""},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 80}, false, nil, "http://[2001:db8::1]:80/"},
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, false, lan, ""},
		{&net.UnixAddr{}, false, lan, ""},
	} {
		if got := outside(tt.addr, tt.secure, tt.lan); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.addr, got, tt.want)
		}
	}
}
