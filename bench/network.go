//go:build linux

package main

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownNetworkVar is set in the environment of a bench that has a network of its own.
const ownNetworkVar = "ESCA_BENCH_OWN_NETWORK"

const congestionControl = "/proc/sys/net/ipv4/tcp_congestion_control"

// ownNetwork moves bench into a network namespace of its own, in which there is
// nothing but a loopback interface, by executing it anew; it returns in the new
// process, or in this one where that is not permitted, and says whose network it
// is.
//
// In a namespace of their own the servers meet no other sockets, ports in
// TIME_WAIT or remembered routes, and TCP's defaults are the kernel's instead of
// the machine's. Above all so is its congestion control: BBR, which paces by a
// model of the path's bandwidth, gave a file of 200 KiB over loopback two prices,
// 25 and 40 µs of CPU for any server, with minutes between them; CUBIC one.
func ownNetwork() (string, error) {
	if os.Getenv(ownNetworkVar) != "" {
		return setUpNetwork()
	}
	// What go build needs is out of reach from there. If it cannot be had, a
	// build says so.
	_ = build("go", "list", "-deps", module+"/bench/...", module+"/cmd/escahttp")
	// Of the main thread alone, which main is locked to (see process.go), and
	// of all of them once it has executed bench anew.
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Sprintf("the machine's (a namespace of its own: %v), TCP %s", err, fileLine(congestionControl)), nil
	}
	return "", syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), ownNetworkVar+"=1"))
}

// setUpNetwork has the loopback interface up, and TCP as the kernel has it by
// default, in the network namespace that bench is in.
func setUpNetwork() (string, error) {
	if err := interfaceUp("lo"); err != nil {
		return "", fmt.Errorf("loopback interface of the network namespace: %w", err)
	}
	// The one that all kernels have may be chosen by everyone, and over
	// loopback, which loses nothing, it is as good.
	for _, name := range []string{"cubic", "reno"} {
		if os.WriteFile(congestionControl, []byte(name), 0) == nil {
			break
		}
	}
	return "a namespace of its own, TCP " + fileLine(congestionControl), nil
}

func interfaceUp(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return err
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}
