//go:build linux

package serving

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// SlowDisk is how long a sendfile of Config.SlowFile blocks before it does
// anything: in the kernel, and with its thread, as one does that waits for a
// disk or for a file server on the network.
const SlowDisk = 500 * time.Millisecond

// waitForDisk blocks the thread, and tells Go's scheduler no more than a system
// call does.
func waitForDisk() {
	left := unix.NsecToTimespec(SlowDisk.Nanoseconds())
	for unix.Nanosleep(&left, &left) == unix.EINTR {
	}
}

// slowFactory makes backends of f that find the file named path on a slow disk.
type slowFactory struct {
	poller.Factory
	path string
}

func (f slowFactory) Open(ep *poller.Epoll, sh *poller.Shared) (poller.Backend, error) {
	be, err := f.Factory.Open(ep, sh)
	if err != nil {
		return nil, err
	}
	return &slowBackend{be, sh, f.path}, nil
}

type slowBackend struct {
	poller.Backend
	sh   *poller.Shared
	path string
}

func (b *slowBackend) Tick(n int) (int, error) {
	b.wait(n)
	return b.Backend.Tick(n)
}

func (b *slowBackend) Run(n int) {
	b.wait(n)
	b.Backend.Run(n)
}

func (b *slowBackend) Call(e *poller.Entry) {
	if b.isSlow(e) {
		waitForDisk()
	}
	b.Backend.Call(e)
}

// wait waits for what the table's first n entries have to wait for.
func (b *slowBackend) wait(n int) {
	for i := range n {
		if b.isSlow(&b.sh.Entries[i]) {
			waitForDisk()
		}
	}
}

func (b *slowBackend) isSlow(e *poller.Entry) bool {
	return e.NR == unix.SYS_SENDFILE && isFile(int(e.Args[1]), b.path)
}

// isFile reports whether a descriptor is of the file with this absolute path.
func isFile(fd int, path string) bool {
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	return err == nil && name == path
}

// slowListener is the same for servers on package net.
type slowListener struct {
	net.Listener
	path string
}

func (l slowListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return slowConn{c, l.path}, nil
}

type slowConn struct {
	net.Conn
	path string
}

// ReadFrom sends a file, or a part of one, by sendfile as the connection does.
func (c slowConn) ReadFrom(r io.Reader) (int64, error) {
	of := r
	if limited, ok := r.(*io.LimitedReader); ok {
		of = limited.R
	}
	if f, ok := of.(*os.File); ok && f.Name() == c.path {
		waitForDisk()
	}
	return io.Copy(c.Conn, r)
}
