//go:build linux && amd64

package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// counter counts the system calls of a process and of all that it starts.
type counter int

// What is counted: all system calls, and the module's batches (ESCA_IOC_BATCH), which are
// not all ioctls that there are.
const (
	everyCall = "raw_syscalls/sys_enter"
	ioctlCall = "syscalls/sys_enter_ioctl"
	ofABatch  = "cmd == 0x4502"
)

// openCounter counts a tracepoint, where filter is true; empty: always.
func openCounter(pid int, tracepoint, filter string) (counter, error) {
	event := "/sys/kernel/tracing/events/" + tracepoint + "/id"
	b, err := os.ReadFile(event)
	if err != nil {
		return 0, fmt.Errorf("the kernel's own count needs tracefs: %w", err)
	}
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Bits: unix.PerfBitInherit}
	attr.Size = uint32(unsafe.Sizeof(attr))
	if _, err := fmt.Sscan(strings.TrimSpace(string(b)), &attr.Config); err != nil {
		return 0, fmt.Errorf("%s: %w", event, err)
	}
	fd, err := unix.PerfEventOpen(&attr, pid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return 0, fmt.Errorf("perf_event_open: %w", err)
	}
	if filter != "" {
		p, err := unix.BytePtrFromString(filter)
		if err != nil {
			return 0, err
		}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PERF_EVENT_IOC_SET_FILTER, uintptr(unsafe.Pointer(p))); errno != 0 {
			return 0, fmt.Errorf("filter %q: %w", filter, errno)
		}
	}
	return counter(fd), nil
}

func (c counter) read() uint64 {
	var b [8]byte
	unix.Read(int(c), b[:])
	return binary.NativeEndian.Uint64(b[:])
}
