//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	startTimeout = 10 * time.Second
	stopTimeout  = 3 * time.Second
)

// Children ask the kernel for a signal when the thread that started them ends
// (Pdeathsig), so that nothing outlives a bench that was killed. main starts
// them all from the main thread, the only one that lives as long as the process.
func init() { runtime.LockOSThread() }

// process is a child in a process group of its own: a Ctrl-C in the terminal
// reaches bench alone, which then ends the children in order.
type process struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	exited chan struct{} // closed when Wait has returned
	err    error         // what Wait returned; read after exited
}

func startProcess(argv, env []string, stdin io.Reader, stdout io.Writer) (*process, error) {
	return startMortal(argv, env, stdin, stdout, syscall.SIGTERM)
}

// startGenerator starts what has nothing to put in order when bench is killed,
// and may stand still then, so that a SIGTERM would not reach it.
func startGenerator(argv []string, stdin io.Reader, stdout io.Writer) (*process, error) {
	return startMortal(argv, environment(), stdin, stdout, syscall.SIGKILL)
}

// startMortal starts a process that gets this signal if bench is killed.
func startMortal(argv, env []string, stdin io.Reader, stdout io.Writer, end syscall.Signal) (*process, error) {
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), exited: make(chan struct{})}
	p.cmd.Env = env
	p.cmd.Stderr = &p.stderr
	p.cmd.Stdin, p.cmd.Stdout = stdin, stdout
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: end}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process and whatever it started: politely first (nginx ends its
// worker, a CPU profile is written), then the whole group.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.cmd.Process.Signal(syscall.SIGCONT) // a stopped one would sleep through it
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
	}
	syscall.Kill(-p.pid(), syscall.SIGKILL)
	<-p.exited
}

// wait returns when the process has ended by itself, or has been stopped
// because ctx was done.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.stop()
		return ctx.Err()
	}
	if p.err != nil {
		return p.failure()
	}
	return nil
}

// failure tells why the process ended, by the last line it wrote.
func (p *process) failure() error {
	if last := lastLine(p.stderr.String()); last != "" {
		return fmt.Errorf("%w: %s", p.err, last)
	}
	return p.err
}

// failureToListen is why a server ended that was to go on.
func (p *process) failureToListen() error {
	if p.err == nil {
		return errors.New("it ended before it listened")
	}
	return p.failure()
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// awaitListening returns when addr accepts a connection. It fails as soon as the
// process has ended.
func (p *process) awaitListening(ctx context.Context, addr string) error {
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	deadline := time.After(startTimeout)
	for {
		select {
		case <-p.exited:
			return p.failureToListen()
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return fmt.Errorf("it does not listen on %s after %v", addr, startTimeout)
		case <-retry.C:
			if accepts(addr) {
				return nil
			}
		}
	}
}

func accepts(addr string) bool {
	c, err := dial(addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	// A connection to a port of the ephemeral range that nobody listens on
	// can, rarely, be given that very port and meet itself.
	return strings.HasPrefix(addr, unixPrefix) || c.LocalAddr().String() != c.RemoteAddr().String()
}

// dial connects to an address of a server: HOST:PORT, or unix:PATH.
func dial(addr string, timeout time.Duration) (net.Conn, error) {
	if path, ok := strings.CutPrefix(addr, unixPrefix); ok {
		return net.DialTimeout("unix", path, timeout)
	}
	return net.DialTimeout("tcp4", addr, timeout)
}

const unixPrefix = "unix:"

// freeAddr is a loopback address that nobody listens on.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// onCPU is the command line that runs argv on one processor.
func onCPU(cpu int, argv []string) []string {
	return append([]string{"taskset", "-c", fmt.Sprint(cpu)}, argv...)
}

// environment is bench's own without GOMAXPROCS, so that free placement
// measures defaults, and with what is asked for.
func environment(add ...string) []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GOMAXPROCS=") {
			env = append(env, kv)
		}
	}
	return append(env, add...)
}

// raiseFileLimit lets bench and its children open as many descriptors as they
// are allowed to.
func raiseFileLimit() error {
	var rl syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &rl); err != nil {
		return err
	}
	rl.Cur = rl.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &rl)
}

// missingError says what this machine does not have.
type missingError string

func (e missingError) Error() string { return string(e) }

// lookPath finds a tool, also where Debian keeps servers.
func lookPath(name, pkg string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	if path := "/usr/sbin/" + name; syscall.Access(path, 1) == nil {
		return path, nil
	}
	return "", missingError(name + " is not installed: apt-get install " + pkg)
}
