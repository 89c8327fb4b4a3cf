//go:build linux && (amd64 || arm64)

package server_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// freeAddr returns an address that nobody listens on: for gnet, which does not tell which
// port the kernel has chosen.
func freeAddr(t testing.TB, network string) string {
	t.Helper()
	if network == "unix" {
		return "unix://" + filepath.Join(t.TempDir(), "s")
	}
	kind := unix.SOCK_STREAM
	if strings.HasPrefix(network, "udp") {
		kind = unix.SOCK_DGRAM
	}
	for {
		port := int(nextPort())
		fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		// Without SO_REUSEADDR, as gnet binds: a connection that has ended may still keep it.
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
		unix.Close(fd)
		if err == nil {
			return fmt.Sprintf("%s://127.0.0.1:%d", network, port)
		}
		if err != unix.EADDRINUSE {
			t.Fatal(err)
		}
	}
}

// Ports below those that the kernel gives to who asks for any: between a look at one and its
// use no client gets it, nor a test that listens on port 0.
const lowestPort = 10_000

var (
	portRange = func() uint32 {
		low := uint32(32768)
		if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
			fmt.Sscan(string(b), &low)
		}
		return max(low, lowestPort+1000) - lowestPort
	}()
	portsGiven atomic.Uint32
	firstPort  = rand.Uint32N(portRange) // other processes have others
)

func nextPort() uint32 { return lowestPort + (firstPort+portsGiven.Add(1))%portRange }
