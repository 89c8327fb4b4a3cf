//go:build linux && amd64

package preloadtest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// traps starts it, and returns where it listens.
func traps(t *testing.T, m mode, how ...string) (*process, string) {
	t.Helper()
	if built == "" {
		t.Skip("needs gcc and make to build it: apt-get install gcc libc6-dev make")
	}
	path := filepath.Join(built, "traps")
	p := start(t, m, append([]string{path}, how...)...)
	var addr string
	eventually(t, "traps listens", func() bool {
		_, after, ok := strings.Cut(p.out.String(), "port ")
		port, _, ok2 := strings.Cut(after, "\n")
		addr = "127.0.0.1:" + port
		return ok && ok2
	})
	p.runs(m)
	return p, addr
}

// alive fails if the server has ended, which it does when it is not content, and stops it.
func (p *process) alive() {
	p.t.Helper()
	select {
	case <-p.done:
		p.t.Errorf("the server has ended: %v", p.err)
	default:
		p.cmd.Process.Signal(syscall.SIGTERM)
		p.wait()
		if !p.signalled(syscall.SIGTERM) {
			p.t.Errorf("the server has ended: %v", p.err)
		}
	}
}

// modes are the executors, without faults and with; in a guest, which is slow, without.
func modes(t *testing.T) []mode {
	var ms []mode
	for i, m := range executors(t) {
		ms = append(ms, m)
		if required("kmod") {
			continue
		}
		m.faults = uint64(i + 1)
		ms = append(ms, m)
	}
	return ms
}

// inEach runs a test with each executor, in turns of LT and ET where kinds says so.
func inEach(t *testing.T, ms []mode, kinds []string, test func(t *testing.T, p *process, addr string)) {
	t.Helper()
	for _, m := range ms {
		for _, kind := range kinds {
			t.Run(strings.TrimSuffix(m.String()+"/"+strings.ReplaceAll(kind, " ", "-"), "/"), func(t *testing.T) {
				p, addr := traps(t, m, strings.Fields(kind)...)
				test(t, p, addr)
				p.alive()
			})
		}
	}
}

// talker is a client that knows what is to come.
type talker struct {
	net.Conn
	r    *bufio.Reader
	want bytes.Buffer
	pos  int
}

func talk(t *testing.T, addr string, rcvbuf int) *talker {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			if rcvbuf > 0 {
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, rcvbuf)
			}
		})
	}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(60 * time.Second))
	return &talker{Conn: c, r: bufio.NewReader(c)}
}

func (k *talker) bytes(n int) {
	for range n {
		k.want.WriteByte(byte(k.pos % 251))
		k.pos++
	}
}

func (k *talker) file(n int) {
	for i := range n {
		k.want.WriteByte(byte(i % 251))
	}
}

// say sends commands, and notes what they bring.
func (k *talker) say(commands ...string) {
	for _, c := range commands {
		var what string
		var a, b int
		fmt.Sscan(c, &what, &a, &b)
		switch what {
		case "bytes":
			k.bytes(a * b)
		case "file", "cork", "pool":
			k.bytes(a)
			k.file(b)
		}
	}
	io.WriteString(k, strings.Join(commands, "\n")+"\n")
}

// hear reads what is to come, and with end the end behind it.
func (k *talker) hear(end bool) error {
	got := make([]byte, k.want.Len())
	n, err := io.ReadFull(k.r, got)
	if err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", n, len(got), err)
	}
	for i, b := range k.want.Bytes() {
		if got[i] != b {
			return fmt.Errorf("byte %d of %d is %d, not %d", i, len(got), got[i], b)
		}
	}
	k.want.Reset()
	if end {
		if _, err := k.r.ReadByte(); err != io.EOF {
			return fmt.Errorf("behind it: %v", err)
		}
	}
	return nil
}

// all has n clients speak at the same time, and then listen.
func all(t *testing.T, addr string, n, rcvbuf int, end bool, commands ...string) {
	t.Helper()
	var ks []*talker
	for range n {
		ks = append(ks, talk(t, addr, rcvbuf))
	}
	for _, k := range ks {
		k.say(commands...)
	}
	var wg sync.WaitGroup
	for i, k := range ks {
		wg.Go(func() {
			if err := k.hear(end); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
			k.Close()
		})
	}
	wg.Wait()
}
