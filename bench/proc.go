//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of times in /proc/PID/stat: USER_HZ is 100 on every Linux.
const tick = 10 * time.Millisecond

// procStat is what bench needs of a /proc/PID/stat.
type procStat struct {
	pid, ppid int
	kernel    bool          // a thread of the kernel
	used      time.Duration // CPU time
	waited    time.Duration // that of children that have ended and were waited for
}

// parseStat reads a /proc/PID/stat line: "pid (comm) state ppid ...". comm is
// what the program chose to be called, parentheses and spaces included, so the
// fields are counted from its last parenthesis.
func parseStat(line []byte) (procStat, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return procStat{}, fmt.Errorf("no command name in %q", line)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line[:open])))
	if err != nil {
		return procStat{}, fmt.Errorf("no process id in %q", line)
	}
	fields := strings.Fields(string(line[end+1:]))
	const state = 3 // proc(5) counts fields from 1; the first after comm is the state
	at := func(n int) (int, error) {
		if n-state >= len(fields) {
			return 0, fmt.Errorf("only %d fields in %q", len(fields)+state-1, line)
		}
		return strconv.Atoi(fields[n-state])
	}
	st := procStat{pid: pid}
	if st.ppid, err = at(4); err != nil {
		return procStat{}, err
	}
	flags, err := at(9)
	if err != nil {
		return procStat{}, err
	}
	const kernelThread = 0x200000 // PF_KTHREAD
	st.kernel = flags&kernelThread != 0
	for n, sum := range map[int]*time.Duration{14: &st.used, 15: &st.used, 16: &st.waited, 17: &st.waited} { // utime, stime, cutime, cstime
		ticks, err := at(n)
		if err != nil {
			return procStat{}, err
		}
		*sum += time.Duration(ticks) * tick
	}
	return st, nil
}

// processes are all that there are.
func processes() ([]procStat, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var all []procStat
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		st, err := parseStat(line)
		if err != nil {
			return nil, err
		}
		all = append(all, st)
	}
	return all, nil
}

// treeOf is the process root, if it is among all, and its descendants.
func treeOf(root int, all []procStat) (tree []procStat) {
	children := map[int][]procStat{}
	for _, st := range all {
		if st.pid == root {
			tree = append(tree, st)
		} else {
			children[st.ppid] = append(children[st.ppid], st)
		}
	}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i].pid]...)
	}
	return tree
}

// processTree is the process and all its living descendants.
func processTree(root int) ([]procStat, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	tree := treeOf(root, all)
	if len(tree) == 0 {
		return nil, fmt.Errorf("no process %d: the server has ended", root)
	}
	return tree, nil
}

// cpuTime is what the process and its descendants have used, user and system.
// A process's own time is read from its clock, which counts nanoseconds:
// /proc/PID/stat has the same figure rounded to 10 ms.
func cpuTime(root int) (time.Duration, error) {
	tree, err := processTree(root)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, st := range tree {
		own, err := processClock(st.pid)
		if err != nil {
			return 0, err
		}
		sum += own + st.waited
	}
	return sum, nil
}

// processClock is what clock_getcpuclockid(3) gives access to: the CPU time of
// all threads of a process, those that have ended included.
func processClock(pid int) (time.Duration, error) {
	const ofProcess = 2 // CPUCLOCK_SCHED; the complement of the id above it
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|ofProcess), &ts); err != nil {
		return 0, fmt.Errorf("the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// othersTime is the CPU time of all processes but this one and its descendants,
// and what the host took. The processes are added up, as the totals of /proc/stat
// cannot be compared with theirs: it counts apart what the network's interrupts
// take, a quarter of all under load, and most kernels count that as the time of
// the process that was interrupted, too.
func othersTime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	stolen, err := parseSteal(text)
	if err != nil {
		return 0, err
	}
	all, err := processes()
	return stolen + othersOf(os.Getpid(), all), err
}

// othersOf is the CPU time of all but self and its descendants. The kernel's
// threads do not count: they work for the load.
func othersOf(self int, all []procStat) (sum time.Duration) {
	own := map[int]bool{}
	for _, st := range treeOf(self, all) {
		own[st.pid] = true
	}
	for _, st := range all {
		if !own[st.pid] && !st.kernel {
			sum += st.used + st.waited
		}
	}
	return sum
}

// parseSteal reads what the host of a virtual machine took, the eighth figure of
// /proc/stat's first line.
func parseSteal(text []byte) (time.Duration, error) {
	var other, steal int64
	_, err := fmt.Sscanf(string(text), "cpu %d %d %d %d %d %d %d %d", &other, &other, &other, &other, &other, &other, &other, &steal)
	if err != nil {
		return 0, fmt.Errorf("/proc/stat: %w", err)
	}
	return time.Duration(steal) * tick, nil
}

// residentSize is the resident memory of the process and its descendants. It
// reads smaps_rollup, which walks the pages; the counters of statm and status
// lag by up to 64 pages a thread.
func residentSize(root int) (int64, error) {
	tree, err := processTree(root)
	var sum int64
	for _, st := range tree {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", st.pid))
		if err != nil {
			return 0, err
		}
		n, err := parseRollup(text)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, err
}

func parseRollup(text []byte) (int64, error) {
	for line := range strings.Lines(string(text)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "Rss: %d kB", &kib); err == nil {
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("no Rss line in smaps_rollup")
}
