//go:build linux && (amd64 || arm64)

package server_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// freeAddr returns an address that nobody listens on: for gnet, which does not tell which
// port the kernel has chosen.
func freeAddr(t testing.TB, network string) string {
	t.Helper()
	if network == "unix" {
		return "unix://" + filepath.Join(t.TempDir(), "s")
	}
	for {
		addr := fmt.Sprint("127.0.0.1:", nextPort())
		var held io.Closer
		var err error
		if strings.HasPrefix(network, "udp") {
			held, err = net.ListenPacket("udp4", addr)
		} else {
			held, err = net.Listen("tcp4", addr)
		}
		if err == nil {
			held.Close()
			return network + "://" + addr
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
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
