//go:build linux

package poller

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The part of io_uring's ABI (linux/io_uring.h) that the uring backend uses.

const (
	opNop     = 0
	opSendMsg = 9
	opClose   = 19
	opSend    = 26
	opRecv    = 27

	sqeLink = 1 << 2 // IOSQE_IO_LINK

	enterGetEvents = 1 << 0 // IORING_ENTER_GETEVENTS

	setupClamp = 1 << 4 // IORING_SETUP_CLAMP

	featSingleMmap = 1 << 0
	featNoDrop     = 1 << 1

	offSQRing = 0
	offSQEs   = 0x10000000
)

// sqe is struct io_uring_sqe.
type sqe struct {
	opcode   uint8
	flags    uint8
	ioprio   uint16
	fd       int32
	off      uint64
	addr     uint64
	len      uint32
	opFlags  uint32
	userData uint64
	_        [24]byte
}

// cqe is struct io_uring_cqe.
type cqe struct {
	userData uint64
	res      int32
	flags    uint32
}

// ringParams is struct io_uring_params.
type ringParams struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32
	_                                                                      [3]uint32
	sq                                                                     struct {
		head, tail, ringMask, ringEntries, flags, dropped, array, _ uint32
		_                                                           uint64
	}
	cq struct {
		head, tail, ringMask, ringEntries, overflow, cqes, flags, _ uint32
		_                                                           uint64
	}
}

var (
	_ [64 - unsafe.Sizeof(sqe{})]byte
	_ [unsafe.Sizeof(sqe{}) - 64]byte
	_ [16 - unsafe.Sizeof(cqe{})]byte
	_ [unsafe.Sizeof(cqe{}) - 16]byte
	_ [120 - unsafe.Sizeof(ringParams{})]byte
	_ [unsafe.Sizeof(ringParams{}) - 120]byte
)

// ring is an io_uring that executes what it is given at once: nothing is left
// in flight between two calls of run. No task is bound to it.
type ring struct {
	fd      int
	mem     []byte // both rings
	sqeMem  []byte
	sqes    []sqe
	cqes    []cqe
	sqHead  *uint32
	sqTail  *uint32
	cqHead  *uint32
	cqTail  *uint32
	sqMask  uint32
	cqMask  uint32
	queued  uint32 // recorded, not yet submitted
	enters  uint64
	blocker bool // something that is queued may block

	enter func(submit, wait uint32) syscall.Errno // (*ring).cross; tests have it fail
}

// openRing makes a ring for up to n operations at a time.
func openRing(n int) (_ *ring, err error) {
	p := &ringParams{flags: setupClamp}
	fd, _, errno := syscall.Syscall(unix.SYS_IO_URING_SETUP, uintptr(n), uintptr(unsafe.Pointer(p)), 0)
	if errno != 0 {
		return nil, errno
	}
	r := &ring{fd: int(fd)}
	r.enter = r.cross
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	unix.CloseOnExec(r.fd)
	if p.features&(featSingleMmap|featNoDrop) != featSingleMmap|featNoDrop {
		return nil, fmt.Errorf("io_uring lacks features this needs (%#x)", p.features)
	}
	if int(p.sqEntries) < n {
		return nil, fmt.Errorf("io_uring offers %d entries, and the table has %d", p.sqEntries, n)
	}
	size := max(p.sq.array+p.sqEntries*4, p.cq.cqes+p.cqEntries*uint32(unsafe.Sizeof(cqe{})))
	const prot = unix.PROT_READ | unix.PROT_WRITE
	if r.mem, err = unix.Mmap(r.fd, offSQRing, int(size), prot, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
		return nil, fmt.Errorf("map the rings: %w", err)
	}
	if r.sqeMem, err = unix.Mmap(r.fd, offSQEs, int(p.sqEntries)*64, prot, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
		return nil, fmt.Errorf("map the entries of the ring: %w", err)
	}
	at := func(off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.mem[off])) }
	r.sqes = unsafe.Slice((*sqe)(unsafe.Pointer(&r.sqeMem[0])), p.sqEntries)
	r.cqes = unsafe.Slice((*cqe)(unsafe.Pointer(&r.mem[p.cq.cqes])), p.cqEntries)
	r.sqHead, r.sqTail, r.cqHead, r.cqTail = at(p.sq.head), at(p.sq.tail), at(p.cq.head), at(p.cq.tail)
	r.sqMask, r.cqMask = *at(p.sq.ringMask), *at(p.cq.ringMask)
	for i := range p.sqEntries {
		*at(p.sq.array + 4*i) = i // entries are always taken in order
	}
	return r, nil
}

func (r *ring) close() error {
	if r.sqeMem != nil {
		unix.Munmap(r.sqeMem)
	}
	if r.mem != nil {
		unix.Munmap(r.mem)
	}
	return unix.Close(r.fd)
}

// next returns the next submission, empty but for what run will report it as.
func (r *ring) next(id int) *sqe {
	s := &r.sqes[(atomic.LoadUint32(r.sqTail)+r.queued)&r.sqMask]
	r.queued++
	*s = sqe{userData: uint64(id)}
	return s
}

// run submits what is queued, in one crossing, and calls done with the result of
// each that the kernel has taken: they are the first of what was queued, and run
// returns how many. The others have not been begun and never will be, by the ring;
// if none was taken, the error says why.
//
// What was taken completes without a further crossing, so an enter that is refused
// loses no result. It is run as it is submitted, for it is told not to wait; a chain
// goes on as work of the submitting thread, before that is back in user space; and
// a close of which the file system makes more than a moment is handed to a thread
// of the kernel's. The queue of completions is empty here and has room for more
// than is submitted, so none is dropped.
func (r *ring) run(done func(id int, res int32)) (taken int, err error) {
	n, first := r.queued, *r.sqTail
	r.queued = 0
	atomic.StoreUint32(r.sqTail, first+n)
	errno := r.enter(n, n)
	head := atomic.LoadUint32(r.sqHead)
	// What is not taken is taken back: submitted once more it would begin a chain
	// in its middle, and left there it would be run by whichever enter comes next.
	atomic.StoreUint32(r.sqTail, head)
	left := head - first
	for left -= r.reap(done); left > 0; left -= r.reap(done) {
		if r.enter(0, left); *r.cqHead == atomic.LoadUint32(r.cqTail) {
			time.Sleep(time.Millisecond) // interrupted, or refused: it comes without
		}
	}
	r.blocker = false
	switch {
	case head != first || n == 0:
		return int(head - first), nil
	case errno == 0:
		return 0, errors.New("io_uring_enter does nothing")
	}
	return 0, fmt.Errorf("io_uring_enter: %w", errno)
}

// reap calls done with the results that there are, and returns how many.
func (r *ring) reap(done func(id int, res int32)) (n uint32) {
	head, tail := *r.cqHead, atomic.LoadUint32(r.cqTail)
	for n = tail - head; head != tail; head++ {
		c := &r.cqes[head&r.cqMask]
		done(int(c.userData), c.res)
	}
	atomic.StoreUint32(r.cqHead, head)
	return n
}

// cross is io_uring_enter. How many it has taken, the ring says.
func (r *ring) cross(submit, wait uint32) (errno syscall.Errno) {
	r.enters++
	if r.blocker {
		_, _, errno = syscall.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(submit), uintptr(wait), enterGetEvents, 0, 0)
	} else {
		_, _, errno = syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(submit), uintptr(wait), enterGetEvents, 0, 0)
	}
	return errno
}
