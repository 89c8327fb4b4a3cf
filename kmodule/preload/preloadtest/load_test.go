//go:build linux && amd64

package preloadtest

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// gone is what a client meets whose server has ended.
var gone = []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE}

// load has clients visit the site until stop is called, which waits for them. An error
// that excused names is none.
func load(t *testing.T, s *site, addr string, clients int, excused ...error) (done func() int64, stop func()) {
	t.Helper()
	var answers atomic.Int64
	var over atomic.Bool
	var wg sync.WaitGroup
	for i := range clients {
		v := &visitor{site: s, addr: addr, rng: rand.New(rand.NewPCG(3, uint64(i)))}
		wg.Go(func() {
			for !over.Load() {
				err := v.closing(1)
				if err == nil {
					answers.Add(1)
					continue
				}
				for _, x := range excused {
					if errors.Is(err, x) {
						return
					}
				}
				t.Error(err)
				return
			}
		})
	}
	return answers.Load, func() { over.Store(true); wg.Wait() }
}

// Its workers are replaced while clients come and go, and none of them is lost.
func TestNginxReload(t *testing.T) {
	path := need(t, "nginx", "nginx-light")
	s := makeSite(t, 1, 1024, 8192, 20<<10, 200<<10)
	for _, m := range executors(t) {
		t.Run(m.String(), func(t *testing.T) {
			p, addr := serve(t, m, func(port int) []string {
				return nginxConf(t, path, s, port, "worker_processes 2;", "sendfile on;", "")
			})
			answers, stop := load(t, s, addr, 16)
			workers := func() map[int]bool {
				now := map[int]bool{}
				for _, pid := range p.pids() {
					now[pid] = pid != p.cmd.Process.Pid
				}
				return now
			}
			for range 3 {
				old := workers()
				p.cmd.Process.Signal(syscall.SIGHUP)
				eventually(t, "no worker of before is left", func() bool {
					for pid, worker := range workers() {
						if worker && old[pid] {
							return false
						}
					}
					return true
				})
				before := answers()
				eventually(t, "the new ones answer", func() bool { return answers() > before+50 })
			}
			stop()
			p.stop(syscall.SIGQUIT)
		})
	}
}

// It ends at once, in the middle of answers, and cleanly.
func TestNginxTermination(t *testing.T) {
	path := need(t, "nginx", "nginx-light")
	s := makeSite(t, 1, 1024, 8192, 20<<10, 200<<10)
	for _, m := range modes(t) {
		for _, v := range nginxVariants[:3] {
			t.Run(m.String()+"/"+v.name, func(t *testing.T) {
				for range 3 {
					p, addr := serve(t, m, func(port int) []string { return nginxConf(t, path, s, port, v.top, v.http, v.server) })
					answers, stop := load(t, s, addr, 16, gone...)
					eventually(t, "it answers", func() bool { return answers() > 100 })
					p.stop(syscall.SIGTERM)
					stop()
				}
			})
		}
	}
}

// Large files, by hash, one of them with a small window.
func TestNginxLargeFiles(t *testing.T) {
	path := need(t, "nginx", "nginx-light")
	s := makeSite(t, 5<<20, 50<<20)
	for _, m := range modes(t) {
		for _, v := range nginxVariants[:4] {
			t.Run(m.String()+"/"+v.name, func(t *testing.T) {
				p, addr := serve(t, m, func(port int) []string { return nginxConf(t, path, s, port, v.top, v.http, v.server) })
				var wg sync.WaitGroup
				for i := range 2 {
					v := &visitor{site: s, addr: addr, rng: rand.New(rand.NewPCG(5, uint64(i)))}
					wg.Go(func() {
						if err := v.pipelined(3, i*65536, "Connection: close\r\n"); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				p.stop(syscall.SIGTERM)
			})
		}
	}
}
