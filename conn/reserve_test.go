//go:build linux && (amd64 || arm64)

package conn_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
)

// A process that may open 64 files has 100 clients that do nothing, and one that makes it
// open some: accepting pauses before there are none left for that, and goes on when
// clients leave.
func TestAcceptKeepsAReserve(t *testing.T) {
	for _, loops := range []int{1, 2} {
		for _, way := range []string{"Accept", "Serve"} {
			t.Run(fmt.Sprintf("%s, %d loops", way, loops), func(t *testing.T) {
				sfInChild(t, func(t *testing.T) { sfReserve(t, way == "Serve", loops) })
			})
		}
	}
}

func sfReserve(t *testing.T, served bool, loops int) {
	const files, clients = 64, 100
	// The clients' sockets are beyond what the process may have later on.
	sfMust(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 4096, Max: 4096}))
	var socks []int
	for range clients {
		s := sfSocket(t, "tcp")
		high, err := unix.FcntlInt(uintptr(s), unix.F_DUPFD_CLOEXEC, 1000)
		sfMust(t, err)
		unix.Close(s)
		socks = append(socks, high)
	}
	sfMust(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: files, Max: 4096}))

	log := make(sfLog, 1)
	ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(loops), conn.WithLogger(log))
	ended := make(chan error, 1)
	go func() {
		if served {
			ended <- ln.Serve(serveFunc{func(*conn.Conn) {}, func(c *conn.Conn) { sfOpens(c) }})
			return
		}
		for {
			c, err := ln.Accept()
			if err != nil {
				ended <- err
				return
			}
			go func() {
				for sfOpens(c) {
				}
			}()
		}
	}()

	ask := func(s int) {
		t.Helper()
		if err := sfRawEcho(s, "y"); err != nil {
			t.Error(err)
		}
	}
	sfMust(t, sfConnect(socks[0], ln.Addr()))
	ask(socks[0])
	for _, s := range socks[1:] {
		sfMust(t, sfConnect(s, ln.Addr()))
	}
	line := sfWait(t, "the line that says so", log)
	if !strings.Contains(line, "pauses") || !strings.Contains(line, "kept") {
		t.Errorf("logged: %q", line)
	}
	ask(socks[0])
	if n := ln.Stats().Accepted; n < files/2 || n > files-files/8 {
		t.Errorf("%d accepted of %d, with %d descriptors", n, clients, files)
	}
	for _, s := range socks[1 : clients-10] {
		unix.Close(s)
	}
	for _, s := range socks[clients-10:] {
		ask(s)
	}
	for _, s := range socks[clients-10:] {
		unix.Close(s)
	}
	unix.Close(socks[0])
	ln.Close()
	sfWait(t, "the end", ended)
	sfEnds(t, ln)
}

// sfOpens answers a byte after it has had four files open, and reports whether there was
// one to answer.
func sfOpens(c net.Conn) bool {
	b := make([]byte, 1)
	if _, err := c.Read(b); err != nil {
		c.Close()
		return false
	}
	for range 4 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			b[0] = 'n'
			break
		}
		defer f.Close()
	}
	c.Write(b)
	return true
}
