//go:build linux

// Command packets measures an echo of datagrams: the processor time of one, by side,
// size and number of peers.
//
//	go run ./bench/packets [-rounds 3] [-for 1s] [-sides esca,net] [-loads 64x1x1,1200x1x16] [-free]
//
// The server is a process on cpu 0, the peers are one on cpu 1; each peer has one
// datagram under way, or sixteen, and all send before any
// reads, of 1,200 B 64 at a time. Sides are measured in turn, and
// the figure is the median of the rounds. It needs gcc and taskset.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var (
	rounds = flag.Int("rounds", 3, "how often each side is measured with each load")
	period = flag.Duration("for", time.Second, "for how long")
	sides  = flag.String("sides", "esca,gnet-esca,batch,net,gnet,recvfrom,recvmmsg", "which sides; batch is net with ReadBatch and WriteBatch")
	only   = flag.String("loads", "", "which loads, each as bytes x peers x datagrams under way, such as 64x1x1; empty: all")
	free   = flag.Bool("free", false, "pin nothing")
	serve  = flag.String("serve", "", "be the server of this side, on -port")
	port   = flag.Int("port", 0, "see -serve")
)

func main() {
	flag.Parse()
	var err error
	if *serve != "" {
		err = serveSide(*serve, *port)
	} else {
		err = compare()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "packets:", err)
		os.Exit(1)
	}
}

// load is how many peers send how much, and how many datagrams each has under way.
type load struct{ peers, size, each int }

var loads = []load{{1, 64, 1}, {16, 64, 1}, {256, 64, 1}, {1, 1200, 1}, {16, 1200, 1}, {256, 1200, 1}, {1, 1200, 16}, {16, 1200, 16}}

// chosen reports whether -loads has l.
func (l load) chosen() bool {
	name := fmt.Sprintf("%dx%dx%d", l.size, l.peers, l.each)
	return *only == "" || slices.Contains(strings.Split(*only, ","), name)
}

func compare() error {
	dir, err := os.MkdirTemp("", "packets")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	floor := filepath.Join(dir, "floor")
	if out, err := exec.Command("gcc", "-O2", "-o", floor, "bench/floor/packets.c").CombinedOutput(); err != nil {
		return fmt.Errorf("gcc: %w\n%s", err, out)
	}
	if !*free {
		runtime.LockOSThread()
		var set unix.CPUSet
		set.Set(1)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return err
		}
	}
	names := strings.Split(*sides, ",")
	fmt.Printf("%-22s", "µs of CPU a datagram")
	for _, n := range names {
		fmt.Printf("%20s", n)
	}
	fmt.Println("   (kernel crossings a datagram, where the side counts them)")
	for _, l := range loads {
		if !l.chosen() {
			continue
		}
		cost, crossings := make(map[string][]float64), make(map[string]string)
		for range *rounds {
			for _, name := range names {
				c, said, err := measure(name, floor, l)
				if err != nil {
					return fmt.Errorf("%s, %d peers: %w", name, l.peers, err)
				}
				cost[name], crossings[name] = append(cost[name], c), said
			}
		}
		fmt.Printf("%4d B, %3d peers x %-2d", l.size, l.peers, l.each)
		for _, name := range names {
			slices.Sort(cost[name])
			fmt.Printf("%12.2f %7s", cost[name][len(cost[name])/2], crossings[name])
		}
		fmt.Println()
	}
	return nil
}

// measure starts a side and has l ask it: microseconds of the server a datagram, and
// what it says of itself.
func measure(side, floor string, l load) (cost float64, said string, err error) {
	port, err := freePort()
	if err != nil {
		return 0, "", err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, "", err
	}
	args := []string{self, "-serve", side, "-port", strconv.Itoa(port)}
	switch side {
	case "recvfrom":
		args = []string{floor, "one", strconv.Itoa(port)}
	case "recvmmsg":
		args = []string{floor, "many", strconv.Itoa(port)}
	}
	if !*free {
		args = append([]string{"taskset", "-c", "0"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if !*free {
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	}
	if err := cmd.Start(); err != nil {
		return 0, "", err
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if said = strings.TrimSpace(out.String()); !strings.HasPrefix(said, "(") {
			said = "" // gnet's log
		}
	}()
	p := &peers{each: l.each, data: make([]byte, l.size), buf: make([]byte, 2048)}
	defer p.close()
	if err := p.open(port, 1); err != nil {
		return 0, "", err
	}
	if err := p.ready(); err != nil {
		return 0, "", err
	}
	// Not before the server has its port, which is one that the kernel gives to peers.
	if err := p.open(port, l.peers-1); err != nil {
		return 0, "", err
	}
	p.run(*period / 5)
	before, err := cpuOf(cmd.Process.Pid)
	if err != nil {
		return 0, "", err
	}
	n := p.run(*period)
	after, err := cpuOf(cmd.Process.Pid)
	if err != nil {
		return 0, "", err
	}
	return (after - before).Seconds() * 1e6 / float64(n), "", nil
}

func freePort() (int, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port, nil
}

// cpuOf is the processor time that a process has used: what its threads' schedstat
// say, to the nanosecond.
func cpuOf(pid int) (total time.Duration, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		return 0, fmt.Errorf("process %d has no schedstat", pid)
	}
	for _, t := range tasks {
		b, err := os.ReadFile(t)
		if err != nil {
			continue // a thread that has ended
		}
		var ns int64
		if _, err := fmt.Sscan(string(b), &ns); err != nil {
			return 0, err
		}
		total += time.Duration(ns)
	}
	return total, nil
}

// peers are sockets that are connected to the server.
type peers struct {
	fds  []int
	each int
	data []byte
	buf  []byte
}

// open opens n more.
func (p *peers) open(port, n int) error {
	for range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		p.fds = append(p.fds, fd)
		// What is lost is asked for anew.
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000})
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			return err
		}
	}
	return nil
}

func (p *peers) close() {
	for _, fd := range p.fds {
		unix.Close(fd)
	}
}

// ready waits for the server.
func (p *peers) ready() error {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		unix.Write(p.fds[0], p.data)
		if n, err := unix.Read(p.fds[0], p.buf); err == nil && n == len(p.data) {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("the server does not answer")
}

// run has all peers ask for d, and returns how many answers came.
func (p *peers) run(d time.Duration) (n int) {
	most := 256 // peers that ask at once
	if len(p.data) > 500 {
		most = max(64/p.each, 1) // a socket's buffer, as Linux has it by default, holds some ninety of them
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		for fds := range slices.Chunk(p.fds, most) {
			n += p.ask(fds)
		}
	}
	return n
}

// ask has these peers ask once, and returns how many answers came.
func (p *peers) ask(fds []int) (n int) {
	for _, fd := range fds {
		for range p.each {
			unix.Write(fd, p.data)
		}
	}
	for _, fd := range fds {
		for range p.each {
			m, err := unix.Read(fd, p.buf)
			if err != nil {
				break // the rest of this peer's are lost
			}
			if m == len(p.data) {
				n++
			}
		}
	}
	return n
}
