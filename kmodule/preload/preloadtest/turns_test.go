//go:build linux && amd64

package preloadtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// turn is how long a side is asked before it is the next one's turn: what a machine that is
// never equally fast twice does to one, it does to the others within the same second.
const turn = 100 * time.Millisecond

// turns measures the load with a server for each of the modes, the first of which the
// others are compared with; rounds: beside one to warm up.
func (b benchLoad) turns(t *testing.T, modes []mode, rounds int) []*side {
	t.Helper()
	path := need(t, b.program, b.pkg)
	need(t, "wrk", "wrk")
	var sizes []int
	for _, kib := range benchSizes {
		sizes = append(sizes, kib<<10)
	}
	s := makeSite(t, sizes...)
	var sides []*side
	for _, m := range modes {
		p, addr := serve(t, m, func(port int) []string { return b.configure(t, path, s, port) })
		for _, pid := range p.pids() { // the server on the first processor, who asks on the second
			exec.Command("taskset", "-acp", "0", strconv.Itoa(pid)).Run()
		}
		sides = append(sides, &side{mode: m, p: p, addr: addr})
	}
	for round := range rounds + 1 {
		drives := b.round(t, sides, 5)
		for i, d := range sides {
			if round == 0 {
				continue
			}
			d.cpu = append(d.cpu, drives[i].cpu)
			d.rps = append(d.rps, drives[i].rps)
			d.ratio = append(d.ratio, drives[i].cpu/drives[0].cpu)
			d.faster = append(d.faster, drives[i].rps/drives[0].rps)
		}
	}
	return sides
}

// drive is what asks a side in a round, and is stopped (SIGSTOP) while it is another's turn.
type drive struct {
	*side
	ask     *exec.Cmd
	out     bytes.Buffer
	done    chan error
	before  time.Duration
	ran     time.Duration
	ended   bool
	answers float64
	cpu     float64 // µs a request
	rps     float64
}

// round asks all sides, in turns that go a b c, c b a, ...: so many, or until each has had its
// answers.
func (b benchLoad) round(t *testing.T, sides []*side, turns int) []*drive {
	t.Helper()
	var drives []*drive
	for _, s := range sides {
		d := &drive{side: s, ask: b.ask(s.addr), done: make(chan error, 1)}
		d.ask.Args = append([]string{"taskset", "-c", "1"}, d.ask.Args...)
		d.ask.Path, _ = exec.LookPath("taskset")
		d.ask.Stdout, d.ask.Stderr = &d.out, &d.out
		d.ask.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		drives = append(drives, d)
	}
	order := slices.Clone(drives)
	for i := 0; i < turns || b.counts; i++ {
		left := 0
		for _, d := range order {
			if !d.ended {
				d.takeTurn(t, i == 0, i == turns-1 && !b.counts)
				left++
			}
		}
		if left == 0 {
			break
		}
		slices.Reverse(order)
	}
	for _, d := range drives {
		found := b.answers.FindSubmatch(d.out.Bytes())
		if found == nil {
			t.Fatalf("%v: %s", d.ask.Args, d.out.Bytes())
		}
		d.answers, _ = strconv.ParseFloat(string(found[1]), 64)
		d.cpu = float64((d.p.cpu() - d.before).Nanoseconds()) / 1000 / d.answers
		d.rps = d.answers / d.ran.Seconds()
	}
	return drives
}

// takeTurn asks for a turn; after the last one who asks says how often there was an answer.
func (d *drive) takeTurn(t *testing.T, first, last bool) {
	t.Helper()
	if first {
		d.before = d.p.cpu()
		if err := d.ask.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { d.done <- d.ask.Wait() }()
		t.Cleanup(func() { d.ask.Process.Kill() })
	} else {
		d.ask.Process.Signal(syscall.SIGCONT)
	}
	began, over := time.Now(), time.After(turn)
	select {
	case err := <-d.done:
		d.end(t, err)
	case <-over:
	}
	d.ran += time.Since(began)
	switch {
	case d.ended:
	case last:
		d.stop(t)
	default:
		d.ask.Process.Signal(syscall.SIGSTOP)
	}
}

// stop has wrk say what it has counted: it looks at a signal only in a thread that sleeps, which
// may not be the one that is given it.
func (d *drive) stop(t *testing.T) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for range 500 {
		d.ask.Process.Signal(os.Interrupt)
		select {
		case err := <-d.done:
			d.end(t, err)
			return
		case <-again.C:
		}
	}
	t.Fatalf("%v: it does not end", d.ask.Args)
}

func (d *drive) end(t *testing.T, err error) {
	t.Helper()
	d.ended = true
	if err != nil {
		t.Fatalf("%v: %v\n%s", d.ask.Args, err, d.out.Bytes())
	}
}

// cpu is what its processes have used, which the scheduler knows to the nanosecond.
func (p *process) cpu() (sum time.Duration) {
	for _, pid := range p.pids() {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, file := range threads {
			b, _ := os.ReadFile(file)
			ran, _, _ := strings.Cut(string(b), " ")
			ns, _ := strconv.ParseInt(ran, 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}
