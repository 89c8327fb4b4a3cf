//go:build linux && amd64

package preloadtest

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestLighttpd(t *testing.T) {
	path := need(t, "lighttpd", "lighttpd")
	s := makeSite(t, sizes...)
	configure := func(port int) []string {
		conf := filepath.Join(t.TempDir(), "lighttpd.conf")
		text := fmt.Sprintf("server.document-root = %q\nserver.bind = \"127.0.0.1\"\nserver.port = %d\nserver.max-keep-alive-requests = 100000\nserver.max-fds = 4096\n", s.dir, port)
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return []string{path, "-D", "-f", conf}
	}
	p, addr := serve(t, mode{executor: "off"}, configure)
	want := transcript(t, s, addr)
	p.cmd.Process.Signal(syscall.SIGTERM)
	modes := append(executors(t), mode{executor: "off"}, mode{executor: "plain", apart: true}, mode{executor: "plain", faults: 1}, mode{executor: "uring", faults: 2})
	for _, m := range modes {
		t.Run(m.String(), func(t *testing.T) {
			p, addr := serve(t, m, configure)
			same(t, transcript(t, s, addr), want)
			crowd(t, s, addr, false, 200, 8, 1, true)
			p.cmd.Process.Signal(syscall.SIGTERM)
			// With connections left it says 1, without the library too.
			if err := p.wait(); err != nil && p.cmd.ProcessState.ExitCode() != 1 {
				t.Error(err)
			}
		})
	}
}

// redisTalk is one client: pipelines of SET and GET of keys of its own, each reply checked.
func redisTalk(addr string, id, rounds int) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(60 * time.Second))
	rng := rand.New(rand.NewPCG(7, uint64(id)))
	r := bufio.NewReader(c)
	for round := range rounds {
		var ask strings.Builder
		var want []string
		for i := range 1 + rng.IntN(32) {
			value := strings.Repeat(strconv.Itoa(round*100+i), 1+rng.IntN(1500))
			key := fmt.Sprintf("k%d:%d", id, i)
			fmt.Fprintf(&ask, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(key), key, len(value), value)
			fmt.Fprintf(&ask, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(key), key)
			want = append(want, "+OK\r\n", fmt.Sprintf("$%d\r\n%s\r\n", len(value), value))
		}
		go io.WriteString(c, ask.String())
		for _, w := range want {
			got := make([]byte, len(w))
			if _, err := io.ReadFull(r, got); err != nil {
				return err
			}
			if string(got) != w {
				return fmt.Errorf("round %d: got %.80q, want %.80q", round, got, w)
			}
		}
	}
	return nil
}

func TestRedis(t *testing.T) {
	path := need(t, "redis-server", "redis-server")
	modes := append(executors(t), mode{executor: "plain", faults: 1}, mode{executor: "uring", faults: 2})
	for _, m := range modes {
		for _, threads := range []string{"1", "4"} {
			t.Run(m.String()+"/io-threads-"+threads, func(t *testing.T) {
				dir := t.TempDir()
				p, addr := serve(t, m, func(port int) []string {
					return []string{path, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--appendonly", "yes", "--io-threads", threads, "--save", ""}
				})
				var wg sync.WaitGroup
				for i := range 50 {
					wg.Go(func() {
						if err := redisTalk(addr, i, 10); err != nil {
							t.Errorf("client %d: %v", i, err)
						}
					})
				}
				wg.Wait()
				p.stop(syscall.SIGTERM)
			})
		}
	}
}
