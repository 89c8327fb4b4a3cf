//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// networkVar tells a bench that was executed anew what network it is in.
const networkVar = "ESCA_BENCH_NETWORK"

const (
	congestionControl = "/proc/sys/net/ipv4/tcp_congestion_control"
	localPorts        = "/proc/sys/net/ipv4/ip_local_port_range"
	manyPorts         = "1024\t65535" // all that need no privilege
)

// ownNetwork moves bench into a network namespace of its own, in which there is
// nothing but a loopback interface, by executing it anew; it returns in the new
// process, or in this one where that is not permitted, and says whose network it
// is.
//
// In a namespace of their own the servers meet no other sockets, ports in
// TIME_WAIT or remembered routes, and above all not the machine's congestion
// control: BBR, which paces by a model of the path's bandwidth, had a file of
// 200 KiB over loopback cost any server 25 to 40 µs of CPU, the one or the other
// for minutes; with CUBIC and Reno it costs the same each time. The limits of TCP's buffers
// are the machine's all the same.
func ownNetwork(chosen []comparison) (string, error) {
	if network := os.Getenv(networkVar); network != "" {
		return network, os.Unsetenv(networkVar)
	}
	if os.Geteuid() != 0 {
		return machineNetwork(errors.New("bench is not run by root")), nil
	}
	// What go build needs is out of reach from there. If it cannot be had, a
	// build says so.
	_ = build("go", "list", "-deps", module+"/bench/...", module+"/cmd/escahttp")
	if root, err := projectRoot(); err == nil && slices.ContainsFunc(chosen, func(c comparison) bool { return c.upstream == postgres }) {
		_ = build("go", "list", "-C", filepath.Join(root, postgresServer), "-deps", ".")
	}
	fetchModules(chosen)
	before, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return machineNetwork(err), nil
	}
	defer before.Close()
	// Of the main thread alone, which main is locked to (see process.go), and
	// of all of them once it has executed bench anew.
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return machineNetwork(err), nil
	}
	network, err := setUpNetwork()
	if err == nil {
		err = syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), networkVar+"="+network))
	}
	if back := unix.Setns(int(before.Fd()), unix.CLONE_NEWNET); back != nil {
		return "", fmt.Errorf("back into the machine's network: %w", back)
	}
	return machineNetwork(err), nil
}

// fetchModules has go fetch what sides need that are modules of their own, and
// these only if they are asked for. If it cannot be had, their build says so.
func fetchModules(chosen []comparison) {
	root, err := projectRoot()
	if err != nil {
		return
	}
	fetched := map[string]bool{"": true}
	for _, c := range chosen {
		for _, s := range c.sides {
			if !fetched[s.module] {
				fetched[s.module] = true
				_ = build("env", "GOWORK=off", "go", "list", "-C", filepath.Join(root, s.module), "-deps", ".")
			}
		}
	}
}

// machineNetwork says what is measured in, and why.
func machineNetwork(why error) string {
	return fmt.Sprintf("the machine's (no namespace of its own: %v), TCP %s", why, fileLine(congestionControl))
}

// setUpNetwork has the loopback interface up, TCP's congestion control as the
// kernel has it by default, and as many ports as there can be, in the network
// namespace of this thread.
//
// Of the 28,000 ports there are by default some thousands are in TIME_WAIT after
// a run of 10,000 connections, more after one that was quick to answer. In one of
// three such runs the search for ports then took half of wrk's time, and the server
// waited: it was at 8,000 to 60,000 requests/s instead of 80,000.
func setUpNetwork() (string, error) {
	if err := interfaceUp("lo"); err != nil {
		return "", fmt.Errorf("loopback interface: %w", err)
	}
	// The one that all kernels have may be chosen in every namespace, and over
	// loopback, which loses nothing, it is as good.
	for _, name := range []string{"cubic", "reno"} {
		if os.WriteFile(congestionControl, []byte(name), 0) == nil {
			break
		}
	}
	_ = os.WriteFile(localPorts, []byte(manyPorts), 0) // the network's name says what there are
	first, last, _ := strings.Cut(fileLine(localPorts), "\t")
	return fmt.Sprintf("a namespace of its own, ports %s-%s, TCP %s", first, last, fileLine(congestionControl)), nil
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
