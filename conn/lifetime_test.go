//go:build linux && (amd64 || arm64)

package conn_test

import (
	"bytes"
	"io"
	"log"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
)

// serveFunc is a Handler of one function, and perhaps one for the beginning.
type serveFunc struct{ open, serve func(*conn.Conn) }

func (h serveFunc) Open(b *conn.Burst) {
	c := b.Conn()
	if h.open != nil {
		h.open(c)
	}
}

func (h serveFunc) Serve(b *conn.Burst) { h.serve(b.Conn()) }

// dialed connects to ln, and closes the connection when the test is over.
func dialed(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// A closed connection of which a duplicate is still open stays in the epoll. The
// number it reports is another's by then, from whom nothing may be received.
func TestClosedWithADuplicate(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1))
	defer sfEnds(t, ln)
	c, peer := pipe(t, ln, false)
	f, err := c.(*conn.Conn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd := -1
	sfRaw(t, c.(sfConn)).Control(func(p uintptr) { fd = int(p) })
	gone := make(chan struct{})
	conn.BurstOf(c.(*conn.Conn)).OnGone(func() { close(gone) })
	c.Close()
	sfWait(t, "the close", gone)

	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if p[0] != fd { // whoever comes next has the number
		if err := unix.Dup3(p[0], fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		unix.Close(p[0])
	}
	defer unix.Close(fd)
	defer unix.Close(p[1])
	unix.Write(p[1], []byte("private"))
	peer.Write([]byte("x"))
	// The loop has seen that event when it has served what came behind it.
	c2, peer2 := pipe(t, ln, false)
	peer2.Write([]byte("y"))
	io.ReadFull(c2, make([]byte, 1))
	c2.Close()
	peer2.Close()
	peer.Close()
	b := make([]byte, 16)
	if n, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT); err != nil || string(b[:n]) != "private" {
		t.Errorf("%q, %v: the rest was received by a loop that had closed that number", b[:max(n, 0)], err)
	}
}

// deepCalls is a backend that grows the stack of its caller before it calls, so
// that whatever is on that stack moves.
type deepCalls struct{ poller.Factory }

type deepBackend struct{ poller.Backend }

func (f deepCalls) Open(ep *poller.Epoll, sh *poller.Shared) (poller.Backend, error) {
	b, err := f.Factory.Open(ep, sh)
	return deepBackend{b}, err
}

func (b deepBackend) Call(e *poller.Entry) {
	deepen(100)
	b.Backend.Call(e)
}

//go:noinline
func deepen(n int) byte {
	var a [1024]byte
	if a[n%7] = byte(n); n == 0 {
		return a[0]
	}
	return deepen(n-1) + a[n%5]
}

// What accept4 is told to write to has to stay where it is.
func TestAcceptedAddressesWhenStacksMove(t *testing.T) {
	ln := listen(t, "tcp4", "127.0.0.1:0", conn.WithLoops(1), conn.WithFactory(deepCalls{poller.Direct}),
		conn.WithMemory(poller.Config{SlotSize: poller.AcceptedSize})) // for one: the others are accepted by calls
	defer sfEnds(t, ln)
	peers := make(map[string]bool)
	for range 6 {
		peers[dialed(t, ln).LocalAddr().String()] = true
	}
	for range 6 {
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if !peers[c.RemoteAddr().String()] {
			t.Errorf("%v is no client's address", c.RemoteAddr())
		}
		c.Close()
	}
	runtime.KeepAlive(peers)
}

// Close with SetLinger(0) drops what is queued, also while that is being sent.
func TestAbandonWhileSending(t *testing.T) {
	ln := listen(t, "unix", sfAddr(t, "unix"), conn.WithLoops(1))
	defer sfEnds(t, ln)
	for i := range 400 {
		c, peer := pipe(t, ln, false)
		c.(*conn.Conn).SetLinger(0)
		c.(*conn.Conn).SetWriteBuffer(4096)
		var wg sync.WaitGroup
		wg.Go(func() {
			b := make([]byte, 3000)
			for range i % 40 {
				if _, err := peer.Read(b); err != nil {
					break
				}
			}
			c.Close()
			io.Copy(io.Discard, peer)
		})
		wg.Go(func() {
			chunk := bytes.Repeat([]byte("x"), 12000)
			for {
				if _, err := c.Write(chunk); err != nil {
					return
				}
			}
		})
		wg.Wait()
		peer.Close()
	}
}

// A handler that was resumed by a deadline is like any other: its neighbours do
// not wait until it has done what it does then.
func TestBlockedAfterADeadline(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1))
	defer sfEnds(t, ln)
	leave := make(chan struct{})
	blocked := make(chan struct{})
	go ln.Serve(serveFunc{serve: func(c *conn.Conn) {
		b := make([]byte, 1)
		if _, err := c.Read(b); err != nil {
			c.Close()
			return
		}
		if b[0] == 'q' {
			c.Write(b)
			return
		}
		c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		c.Read(b)
		close(blocked)
		<-leave
		c.Close()
	}})
	quick, slow := dialed(t, ln), dialed(t, ln)
	ask := func() {
		quick.Write([]byte("q"))
		if _, err := io.ReadFull(quick, make([]byte, 1)); err != nil {
			t.Error(err)
		}
	}
	ask()
	slow.Write([]byte("s"))
	sfWait(t, "the deadline", blocked)
	ask()
	close(leave)
	quick.Close()
	slow.Close()
}

// Anybody may close a connection, and set deadlines, while and before it is served.
func TestClosedFromAnotherGoroutine(t *testing.T) {
	for _, d := range []conn.Dispatch{conn.DispatchGoroutine, conn.DispatchInline} {
		ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1), conn.WithDispatch(d))
		conns := make(chan *conn.Conn, 1)
		go ln.Serve(serveFunc{
			open:  func(c *conn.Conn) { conns <- c },
			serve: func(c *conn.Conn) { c.Read(make([]byte, 10)); c.Read(make([]byte, 10)); c.Close() },
		})
		for range 50 {
			peer := dialed(t, ln)
			c := sfWait(t, "the connection", conns)
			peer.Write([]byte("x"))
			runtime.Gosched()
			c.SetReadDeadline(time.Now().Add(patience))
			c.Close()
			peer.Close()
		}
		sfEnds(t, ln)
	}
}

// A read deadline that is set from another goroutine on a connection which has no worker
// ends its wait.
func TestDeadlineOfAnIdleConnection(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1))
	defer sfEnds(t, ln)
	conns, ended := make(chan *conn.Conn, 1), make(chan conn.Ended, 9)
	go ln.Serve(serveFunc{
		open: func(c *conn.Conn) { conns <- c },
		serve: func(c *conn.Conn) {
			if ended <- conn.BurstOf(c).Ended(); len(ended) > 1 {
				c.Close()
			}
		},
	})
	peer := dialed(t, ln)
	c := sfWait(t, "the connection", conns)
	for range 2 { // once each
		for sfIdle := ln.Stats; sfIdle().Idle != 1; {
			runtime.Gosched()
		}
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if why := sfWait(t, "the deadline", ended); why != conn.EndedTimeout {
			t.Errorf("ended by %d", why)
		}
	}
	c.Close()
	peer.Close()
}

// A hook that leaves its thread locked does not bind the loop to it.
func TestThreadLockedInOpen(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1), conn.WithDispatch(conn.DispatchInline))
	defer sfEnds(t, ln)
	go ln.Serve(serveFunc{
		open:  func(*conn.Conn) { runtime.LockOSThread() },
		serve: func(c *conn.Conn) { io.Copy(c, struct{ io.Reader }{c}); c.Close() },
	})
	for range 5 {
		c := dialed(t, ln)
		sfEcho(t, c, "hello")
		c.Close()
	}
}

// Serve on a listener in use changes nothing for who uses it.
func TestServeTwice(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1))
	defer sfEnds(t, ln)
	h := serveFunc{serve: func(c *conn.Conn) { io.Copy(c, struct{ io.Reader }{c}); c.Close() }}
	first := make(chan error, 1)
	go func() { first <- ln.Serve(h) }()
	c := dialed(t, ln)
	sfEcho(t, c, "one")
	if err := ln.Serve(h); err != conn.ErrInUse {
		t.Errorf("the second: %v", err)
	}
	sfEcho(t, c, "two")
	c.Close()
	ln.Close()
	if err := sfWait(t, "the first", first); err != net.ErrClosed {
		t.Errorf("the first: %v", err)
	}
}

// Memory that no loop could work with is refused with the name of what is wrong.
func TestMemoryTooSmall(t *testing.T) {
	for name, c := range map[string]poller.Config{
		"Arena": {Arena: 4096}, "Entries": {Entries: 1}, "SlotSize": {SlotSize: 64}, "Slots": {Slots: -1}, "Events": {Events: -5}, "MaxFD": {MaxFD: -1},
	} {
		ln, err := conn.Listen("tcp", "127.0.0.1:0", conn.WithMemory(c))
		if err == nil {
			ln.Close()
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A logger may use the connections of the loop that logs.
func TestLoggerIsNotUnderTheLock(t *testing.T) {
	made, said := make(chan *conn.Listener, 1), make(chan struct{})
	logger := log.New(writerFunc(func(p []byte) (int, error) { (<-made).Stats(); close(said); return len(p), nil }), "", 0)
	ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1), conn.WithLogger(logger), conn.WithFactory(failingTicks{poller.Direct}))
	made <- ln
	sfWait(t, "a line", said)
	sfEnds(t, ln)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// failingTicks reports an error with the events of the first look.
type failingTicks struct{ poller.Factory }

type failingBackend struct {
	poller.Backend
	failed bool
}

func (f failingTicks) Open(ep *poller.Epoll, sh *poller.Shared) (poller.Backend, error) {
	b, err := f.Factory.Open(ep, sh)
	return &failingBackend{Backend: b}, err
}

func (b *failingBackend) Tick(n int) (int, error) {
	m, err := b.Backend.Tick(n)
	if !b.failed {
		b.failed, err = true, unix.EBADF
	}
	return m, err
}
