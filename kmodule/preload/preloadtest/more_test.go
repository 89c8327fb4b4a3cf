//go:build linux && amd64

package preloadtest

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// visited runs a server of the site in each way, with its answers compared with those without.
func visited(t *testing.T, s *site, configure func(port int) []string) {
	t.Helper()
	p, addr := serve(t, mode{executor: "off"}, configure)
	want := transcript(t, s, addr)
	p.cmd.Process.Signal(syscall.SIGTERM)
	for _, m := range append(executors(t), mode{executor: "plain", faults: 1}, mode{executor: "uring", faults: 2}) {
		t.Run(m.String(), func(t *testing.T) {
			_, addr := serve(t, m, configure)
			same(t, transcript(t, s, addr), want)
			crowd(t, s, addr, false, 100, 4, 1, false)
		})
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
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
