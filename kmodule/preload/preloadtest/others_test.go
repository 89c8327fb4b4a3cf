//go:build linux && amd64

package preloadtest

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func lighttpdConf(t *testing.T, path string, s *site, port int) []string {
	t.Helper()
	text := fmt.Sprintf("server.document-root = %q\nserver.bind = \"127.0.0.1\"\nserver.port = %d\nserver.max-keep-alive-requests = 100000\nserver.max-fds = 4096\n", s.dir, port)
	return []string{path, "-D", "-f", write(t, "lighttpd.conf", text)}
}

func TestLighttpd(t *testing.T) {
	path := need(t, "lighttpd", "lighttpd")
	s := makeSite(t, sizes...)
	configure := func(port int) []string { return lighttpdConf(t, path, s, port) }
	p, addr := serve(t, mode{executor: "off"}, configure)
	want := transcript(t, s, addr, false)
	p.cmd.Process.Signal(syscall.SIGTERM)
	modes := modes(t)
	if !required("kmod") {
		modes = append(modes, mode{executor: "off"}, mode{executor: "plain", apart: true})
	}
	for _, m := range modes {
		t.Run(m.String(), func(t *testing.T) {
			p, addr := serve(t, m, configure)
			same(t, transcript(t, s, addr, false), want)
			crowd(t, s, addr, false, 200, 8, 1, true)
			p.cmd.Process.Signal(syscall.SIGTERM)
			// With connections left it says 1, without the library too.
			if err := p.wait(); err != nil && p.cmd.ProcessState.ExitCode() != 1 {
				t.Error(err)
			}
		})
	}
}

// pipelines is one client that stores values and fetches them, a few at a time, each
// reply checked.
func pipelines(addr string, id, rounds int, talk func(key, value string) (ask, want string)) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(60 * time.Second))
	rng := rand.New(rand.NewPCG(7, uint64(id)))
	r := bufio.NewReader(c)
	for round := range rounds {
		var asks, wants strings.Builder
		for i := range 1 + rng.IntN(32) {
			ask, want := talk(fmt.Sprintf("k%d:%d", id, i), strings.Repeat(strconv.Itoa(round*100+i), 1+rng.IntN(1500)))
			asks.WriteString(ask)
			wants.WriteString(want)
		}
		go io.WriteString(c, asks.String())
		got := make([]byte, wants.Len())
		if _, err := io.ReadFull(r, got); err != nil {
			return err
		}
		if string(got) != wants.String() {
			return fmt.Errorf("round %d: other replies than %.80q", round, wants.String())
		}
	}
	return nil
}

func redisTalk(addr string, id, rounds int) error {
	return pipelines(addr, id, rounds, func(key, value string) (ask, want string) {
		return fmt.Sprintf("*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n*2\r\n$3\r\nGET\r\n$%[1]d\r\n%[2]s\r\n", len(key), key, len(value), value),
			fmt.Sprintf("+OK\r\n$%d\r\n%s\r\n", len(value), value)
	})
}

func TestRedis(t *testing.T) {
	path := need(t, "redis-server", "redis-server")
	for _, m := range modes(t) {
		for _, threads := range []string{"1", "4"} {
			t.Run(m.String()+"/io-threads-"+threads, func(t *testing.T) {
				dir := t.TempDir()
				p, addr := serve(t, m, func(port int) []string {
					return []string{path, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--appendonly", "yes", "--io-threads", threads, "--save", ""}
				})
				var wg sync.WaitGroup
				clients, rounds := 50, 10
				if testing.Short() {
					clients, rounds = 8, 3
				}
				for i := range clients {
					wg.Go(func() {
						if err := redisTalk(addr, i, rounds); err != nil {
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
