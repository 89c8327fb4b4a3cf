//go:build linux && (amd64 || arm64)

package conn_test

import (
	"fmt"
	"net"
	"os"
	"runtime"
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
				t.Parallel() // as each is a process of its own
				sfInChild(t, func(t *testing.T) { sfReserve(t, way == "Serve", loops) })
			})
		}
	}
}

func sfReserve(t *testing.T, served bool, loops int) {
	const files, clients = 64, 100
	socks := sfClients(t, clients, files)
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

// A descriptor of a low number that has become free says nothing of how many are: of those
// that come then, all at once, no more are accepted than before. Once there are few
// connections nobody asks any more.
func TestAcceptKeepsItsReserveBehindAHole(t *testing.T) {
	sfInChild(t, func(t *testing.T) {
		const files, first, burst = 512, 440, 100
		socks := sfClients(t, first+burst, files)
		log := make(sfLog, 1)
		ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1), conn.WithSteals(false), conn.WithLogger(log))
		ended := make(chan error, 1)
		go func() { ended <- ln.Serve(serveFunc{func(*conn.Conn) {}, func(c *conn.Conn) { sfOpens(c) }}) }()
		ask := func(s int) {
			t.Helper()
			if err := sfRawEcho(s, "y"); err != nil {
				t.Error(err)
			}
		}
		open := func(least, most int) {
			for n := ln.Stats().Open; n < least || n > most; n = ln.Stats().Open {
				runtime.Gosched()
			}
		}
		for _, s := range socks[:first] {
			sfMust(t, sfConnect(s, ln.Addr()))
			ask(s)
		}
		unix.Close(socks[0])
		unix.Close(socks[1])
		open(0, first-2)
		again, more := socks[first], socks[first+1:]
		sfMust(t, sfConnect(again, ln.Addr()))
		ask(again)
		begun, goOn := make(chan bool), make(chan bool)
		ln.Execute(0, func() { close(begun); <-goOn })
		<-begun
		for _, s := range more {
			sfMust(t, sfConnect(s, ln.Addr()))
		}
		close(goOn)
		sfWait(t, "the line that says so", log)
		ask(socks[2])
		if !ln.Spares() {
			t.Error("it does not ask any more")
		}
		for _, s := range append(socks[3:first], more...) {
			unix.Close(s)
		}
		open(2, 2)
		last := sfSocket(t, "tcp")
		sfMust(t, sfConnect(last, ln.Addr()))
		ask(last)
		if ln.Spares() {
			t.Error("with three connections it still asks")
		}
		unix.Close(last)
		unix.Close(again)
		unix.Close(socks[2])
		ln.Close()
		sfWait(t, "the end", ended)
		sfEnds(t, ln)
	})
}

// sfClients makes sockets that are beyond what the process may have later on, which is
// files.
func sfClients(t *testing.T, clients int, files uint64) (socks []int) {
	sfMust(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 4096, Max: 4096}))
	for range clients {
		s := sfSocket(t, "tcp")
		high, err := unix.FcntlInt(uintptr(s), unix.F_DUPFD_CLOEXEC, 1000)
		sfMust(t, err)
		unix.Close(s)
		socks = append(socks, high)
	}
	sfMust(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: files, Max: 4096}))
	return socks
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
