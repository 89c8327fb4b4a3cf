//go:build linux && amd64

package preloadtest

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
)

// visited runs a server of the site in each way, with its answers compared with those without.
func visited(t *testing.T, s *site, configure func(port int) []string) {
	t.Helper()
	p, addr := serve(t, mode{executor: "off"}, configure)
	want := transcript(t, s, addr, false)
	p.cmd.Process.Signal(syscall.SIGTERM)
	for _, m := range modes(t) {
		t.Run(m.String(), func(t *testing.T) {
			_, addr := serve(t, m, configure)
			same(t, transcript(t, s, addr, false), want)
			crowd(t, s, addr, false, 100, 4, 1, false)
		})
	}
}

func TestH2o(t *testing.T) {
	path := need(t, "h2o", "h2o")
	s := makeSite(t, 1, 100, 1024, 8192, 20<<10, 200<<10)
	visited(t, s, func(port int) []string {
		return []string{path, "-c", write(t, "h2o.conf", fmt.Sprintf("user: root\nnum-threads: 2\nlisten:\n  host: 127.0.0.1\n  port: %d\nhosts:\n  default:\n    paths:\n      /:\n        file.dir: %s\n", port, s.dir))}
	})
}

const asyncioServer = `
import asyncio, sys
async def serve(r, w):
    try:
        while True:
            head = (await r.readuntil(b"\r\n\r\n")).decode("latin-1")
            name = head.split(" ")[1]
            try:
                body = open(sys.argv[2] + name, "rb").read()
                w.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            except OSError:
                body = b"no"
                w.write(b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n")
            w.write(body)
            await w.drain()
            if "Connection: close" in head or "HTTP/1.0" in head:
                break
    except (asyncio.IncompleteReadError, ConnectionError, IndexError):
        pass
    w.close()
async def main():
    await (await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))).serve_forever()
asyncio.run(main())
`

func TestAsyncio(t *testing.T) {
	path := need(t, "/usr/bin/python3", "python3")
	s := makeSite(t, 1, 100, 1024, 8192, 20<<10, 200<<10)
	visited(t, s, func(port int) []string {
		return []string{path, write(t, "server.py", asyncioServer), fmt.Sprint(port), s.dir}
	})
}

func TestHaproxy(t *testing.T) {
	path := need(t, "haproxy", "haproxy")
	s := makeSite(t, 1, 100, 1024, 8192, 20<<10, 200<<10)
	to := backend(t, s)
	visited(t, s, func(port int) []string {
		return []string{path, "-db", "-f", write(t, "haproxy.cfg", fmt.Sprintf("global\n  nbthread 2\n  maxconn 1000\ndefaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  timeout connect 60s\nfrontend f\n  bind 127.0.0.1:%d\n  default_backend b\nbackend b\n  server s %s\n", port, to))}
	})
}

const nodeServer = `
const fs = require("fs"), [port, dir] = process.argv.slice(2);
require("http").createServer((q, r) => fs.readFile(dir + q.url, (err, b) => {
  r.statusCode = err ? 404 : 200;
  r.end(err ? "no" : b);
})).listen(+port, "127.0.0.1");
`

func TestNode(t *testing.T) {
	path := need(t, "node", "nodejs")
	s := makeSite(t, 1, 100, 1024, 8192, 20<<10, 200<<10)
	visited(t, s, func(port int) []string {
		return []string{path, write(t, "server.js", nodeServer), fmt.Sprint(port), s.dir}
	})
}

// memcachedTalk is one client: pipelines of set and get of keys of its own, each reply checked.
func memcachedTalk(addr string, id, rounds int) error {
	return pipelines(addr, id, rounds, func(key, value string) (ask, want string) {
		return fmt.Sprintf("set %s 0 0 %d\r\n%s\r\nget %[1]s\r\n", key, len(value), value),
			fmt.Sprintf("STORED\r\nVALUE %s 0 %d\r\n%s\r\nEND\r\n", key, len(value), value)
	})
}

func TestMemcached(t *testing.T) {
	path := need(t, "memcached", "memcached")
	for _, m := range modes(t) {
		t.Run(m.String(), func(t *testing.T) {
			p, addr := serve(t, m, func(port int) []string {
				return []string{path, "-u", "root", "-l", "127.0.0.1", "-U", "0", "-t", "4", "-p", fmt.Sprint(port)}
			})
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() {
					if err := memcachedTalk(addr, i, 10); err != nil {
						t.Errorf("client %d: %v", i, err)
					}
				})
			}
			wg.Wait()
			p.stop(syscall.SIGTERM)
		})
	}
}
