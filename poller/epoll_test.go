//go:build linux

package poller

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

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
