//go:build linux

package poller

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newEpoll is one that is not in Go's netpoller, for tests that look and neither park nor
// wake: on some kernels a look can see nothing while the netpoller asks the same epoll
// (found, in pollertest).
func newEpoll(t testing.TB) *Epoll {
	t.Helper()
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &Epoll{FD: int32(fd), wake: -1}
}

func TestEpollErrors(t *testing.T) {
	ep, err := OpenEpoll()
	if err != nil {
		t.Fatal(err)
	}
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	fd := int32(p[0])
	if err := ep.Add(fd, 1, MaskIn); err != nil {
		t.Error(err)
	}
	if err := ep.Add(fd, 1, MaskIn); !errors.Is(err, unix.EEXIST) || !strings.Contains(err.Error(), "descriptor") {
		t.Errorf("registered twice: %v", err)
	}
	if err := ep.Remove(fd); err != nil {
		t.Error(err)
	}
	if err := ep.Remove(fd); !errors.Is(err, unix.ENOENT) {
		t.Errorf("removed twice: %v", err)
	}
	if err := ep.Close(); err != nil {
		t.Error(err)
	}
}
