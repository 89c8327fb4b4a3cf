package poller

import (
	"syscall"
	"unsafe"
)

// The ABI of /dev/esca, as kmodule/esca.h has it. Entry, Event, Accepted,
// Interest and control are the rest of it.

const (
	kmodABI = 1

	entryWait uint32 = 1 << 2 // ESCA_WAIT
)

// registration is struct esca_register.
type registration struct {
	ABI, Entries, Events, Slots, SlotSize, InterestLen uint32
	Interest, SlotBase                                 uint64

	Features, MapSize              uint64
	EntriesOff, EventsOff, FreeOff uint32
	_                              uint32
}

// Calls, as bits of registration.Features.
var kmodCalls = []string{
	"read", "write", "readv", "writev", "pread64", "pwrite64", "sendto", "sendmsg", "recvfrom", "recvmsg", "sendfile", "splice",
	"shutdown", "close", "accept4", "epoll_ctl", "epoll_wait", "epoll_pwait2", "setsockopt", "getsockopt", "openat", "fstat", "getppid",
	"recvmmsg", "sendmmsg",
}

// kmodNeeds are the calls that a loop cannot do without. The module has these open
// by default, and of the others only getppid.
var kmodNeeds = []string{"sendto", "sendmsg", "recvfrom", "sendfile", "shutdown", "close", "accept4", "epoll_ctl", "epoll_wait", "epoll_pwait2", "recvmmsg", "sendmmsg"}

const registrationSize = 72

var (
	_ [registrationSize - unsafe.Sizeof(registration{})]byte
	_ [unsafe.Sizeof(registration{}) - registrationSize]byte
	_ [16 - unsafe.Sizeof(control{})]byte
	_ [unsafe.Sizeof(control{}) - 16]byte
)

// ioctl numbers: _IOWR('E', 1, struct esca_register) and _IO('E', 2).
const (
	kmodRegister = 3<<30 | registrationSize<<16 | 'E'<<8 | 1
	kmodBatch    = 'E'<<8 | 2
)

// batchArg is ESCA_BATCH.
func batchArg(first, n int) uintptr { return uintptr(first)<<32 | uintptr(uint32(n)) }

func ioctl(fd int, cmd, arg uintptr, announced bool) (int, syscall.Errno) {
	if announced {
		r, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), cmd, arg)
		return int(r), errno
	}
	r, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(fd), cmd, arg)
	return int(r), errno
}
