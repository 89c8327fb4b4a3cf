//go:build linux

package main

import (
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSetUpNetwork(t *testing.T) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends, and its network with it
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = useNetwork(t)
		}
		done <- err
	}()
	switch err := <-done; {
	case errors.Is(err, unix.EPERM):
		t.Skip("a network namespace needs CAP_SYS_ADMIN: run the tests as root")
	case err != nil:
		t.Error(err)
	}
}

func useNetwork(t *testing.T) error {
	network, err := setUpNetwork()
	if err != nil || !strings.HasSuffix(network, " cubic") && !strings.HasSuffix(network, " reno") {
		t.Errorf("%q, %v", network, err)
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	c, err := net.Dial("tcp4", ln.Addr().String())
	if err != nil {
		return err
	}
	return c.Close()
}
