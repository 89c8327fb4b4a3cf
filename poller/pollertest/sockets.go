//go:build linux

package pollertest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// own has fd closed when the test is over, unless an entry closes it.
func (r *rig) own(fd int, err error) int32 {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
	r.open[int32(fd)] = true
	return int32(fd)
}

func (r *rig) close(fd int32) {
	r.Helper()
	delete(r.open, fd)
	r.must(unix.Close(int(fd)))
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// pair is a connection over which everything arrives at once: unix, stream,
// neither end blocks.
func (r *rig) pair() (a, b int32) {
	r.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	r.must(err)
	return r.own(p[0], nil), r.own(p[1], nil)
}

// tight is a pair whose end a has room for a few KiB only.
func (r *rig) tight() (a, b int32) {
	r.Helper()
	a, b = r.pair()
	r.must(unix.SetsockoptInt(int(a), unix.SOL_SOCKET, unix.SO_SNDBUF, 4096))
	return a, b
}

// fill sends over fd until nothing more fits, and returns how much that was.
func (r *rig) fill(fd int32) (n int) {
	r.Helper()
	for {
		m, err := unix.Write(int(fd), make([]byte, 4096))
		if errors.Is(err, unix.EAGAIN) {
			return n
		}
		r.must(err)
		n += m
	}
}

// listen returns a listener that does not block, and its address.
func (r *rig) listen(network string) (int32, unix.Sockaddr) {
	r.Helper()
	family, addr := unix.AF_UNIX, unix.Sockaddr(nil)
	switch network {
	case "tcp4":
		family, addr = unix.AF_INET, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	case "tcp6":
		family, addr = unix.AF_INET6, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}
	case "unix":
		addr = &unix.SockaddrUnix{Name: filepath.Join(r.dir(), "listener")}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		r.Skipf("this kernel has no %s", network)
	}
	l := r.own(fd, err)
	r.must(unix.Bind(fd, addr))
	r.must(unix.Listen(fd, 1024))
	at, err := unix.Getsockname(fd)
	r.must(err)
	return l, at
}

// dial connects to a listener. A unix client has a name of its own.
func (r *rig) dial(at unix.Sockaddr) int32 {
	r.Helper()
	family := unix.AF_UNIX
	switch at.(type) {
	case *unix.SockaddrInet4:
		family = unix.AF_INET
	case *unix.SockaddrInet6:
		family = unix.AF_INET6
	}
	fd := r.own(unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	if family == unix.AF_UNIX {
		r.must(unix.Bind(int(fd), &unix.SockaddrUnix{Name: filepath.Join(r.dir(), "client")}))
	}
	r.must(unix.Connect(int(fd), at))
	r.must(unix.SetNonblock(int(fd), true))
	return fd
}

// dir is a directory whose path is short enough for a socket's address.
func (r *rig) dir() string {
	r.Helper()
	dir, err := os.MkdirTemp("", "esca")
	r.must(err)
	r.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// tcp is a connection over loopback TCP: the accepted end and the client's.
func (r *rig) tcp() (a, b int32) {
	r.Helper()
	l, at := r.listen("tcp4")
	b = r.dial(at)
	r.await(l, unix.POLLIN)
	fd, _, err := unix.Accept4(int(l), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	a = r.own(fd, err)
	r.close(l)
	return a, b
}

// queued waits until n connections wait to be accepted from l.
func (r *rig) queued(l int32, at unix.Sockaddr, n int) {
	r.Helper()
	if _, ok := at.(*unix.SockaddrUnix); ok {
		return // connect has put them there
	}
	for deadline := time.Now().Add(patience); ; {
		info, err := unix.GetsockoptTCPInfo(int(l), unix.IPPROTO_TCP, unix.TCP_INFO)
		r.must(err)
		if int(info.Unacked) == n { // of a listener: the length of its queue
			return
		}
		if time.Now().After(deadline) {
			r.Fatalf("%d connections are queued, want %d", info.Unacked, n)
		}
	}
}

// await waits, beside the backend, until fd is in all the states of mask.
func (r *rig) await(fd int32, mask int16) {
	r.Helper()
	for deadline := time.Now().Add(patience); ; {
		p := []unix.PollFd{{Fd: fd, Events: mask}}
		_, err := unix.Poll(p, int(patience.Milliseconds()))
		if err == nil && p[0].Revents&mask == mask {
			return
		}
		if time.Now().After(deadline) {
			r.Fatalf("descriptor %d: %#x after %v, want %#x", fd, p[0].Revents, patience, mask)
		}
	}
}

// write puts data into fd, all of it.
func (r *rig) write(fd int32, data string) {
	r.Helper()
	n, err := unix.Write(int(fd), []byte(data))
	r.must(err)
	if n != len(data) {
		r.Fatalf("wrote %d of %d bytes: the test's own socket is too small", n, len(data))
	}
}

// received takes n bytes out of fd.
func (r *rig) received(fd int32, n int) string {
	r.Helper()
	b, got := make([]byte, n), 0
	for got < n {
		r.await(fd, unix.POLLIN)
		m, err := unix.Read(int(fd), b[got:])
		r.must(err)
		if m == 0 {
			r.Fatalf("the stream ends after %d bytes, want %d", got, n)
		}
		got += m
	}
	return string(b)
}

// arrived fails unless exactly data, and nothing behind it, has come to fd.
func (r *rig) arrived(fd int32, data string) {
	r.Helper()
	if got := r.received(fd, len(data)); got != data {
		r.Errorf("the peer got %s, want %s", excerpt(got), excerpt(data))
	}
	b := make([]byte, 64)
	if n, err := unix.Read(int(fd), b); n > 0 {
		r.Errorf("the peer got %q too much", b[:n])
	} else if err != nil && !errors.Is(err, unix.EAGAIN) {
		r.Error(err)
	}
}

// ended fails unless fd has come to the end of its stream.
func (r *rig) ended(fd int32) {
	r.Helper()
	r.await(fd, unix.POLLIN)
	if n, err := unix.Read(int(fd), make([]byte, 64)); n != 0 || err != nil {
		r.Errorf("read = %d, %v, want the end of the stream", n, err)
	}
}

// running fails if fd has come to the end of its stream, or has data.
func (r *rig) running(fd int32) {
	r.Helper()
	if n, err := unix.Read(int(fd), make([]byte, 64)); !errors.Is(err, unix.EAGAIN) {
		r.Errorf("read = %d, %v, want EAGAIN", n, err)
	}
}

// file is an open file with this content.
func (r *rig) file(content string) int32 {
	r.Helper()
	name := filepath.Join(r.TempDir(), "file")
	r.must(os.WriteFile(name, []byte(content), 0o600))
	return r.own(unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0))
}

// text is n bytes in which each position can be told from its neighbours.
func text(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d,", i)
	}
	return b.String()[:n]
}

func excerpt(s string) string {
	if len(s) > 40 {
		return fmt.Sprintf("%q… (%d bytes)", s[:40], len(s))
	}
	return fmt.Sprintf("%q", s)
}
