//go:build linux

package main

import (
	"net"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSetUpNetwork(t *testing.T) {
	if !capable(t, unix.CAP_SYS_ADMIN) || !capable(t, unix.CAP_NET_ADMIN) {
		t.Skip("a network namespace needs CAP_SYS_ADMIN and CAP_NET_ADMIN, which root has by default: without them bench measures in the machine's network")
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends, and its network with it
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = useNetwork(t)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// capable says whether the tests run with this capability.
func capable(t *testing.T, capability int) bool {
	t.Helper()
	var sets [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &sets[0]); err != nil {
		t.Fatal(err)
	}
	return sets[capability/32].Effective&(1<<(capability%32)) != 0
}

func useNetwork(t *testing.T) error {
	network, err := setUpNetwork()
	ports := strings.Contains(network, " ports 1024-65535,")
	if err != nil || !ports || !strings.HasSuffix(network, " cubic") && !strings.HasSuffix(network, " reno") {
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
