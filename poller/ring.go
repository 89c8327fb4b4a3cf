//go:build linux

package poller

import (
	"fmt"
	"sync/atomic"
	"syscall"
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
	sqTail  *uint32
	cqHead  *uint32
	cqTail  *uint32
	sqMask  uint32
	cqMask  uint32
	queued  uint32 // recorded, not yet submitted
	enters  uint64
	blocker bool // something that is queued may block
}

// openRing makes a ring for up to n operations at a time.
func openRing(n int) (_ *ring, err error) {
	p := &ringParams{flags: setupClamp}
	fd, _, errno := syscall.Syscall(unix.SYS_IO_URING_SETUP, uintptr(n), uintptr(unsafe.Pointer(p)), 0)
	if errno != 0 {
		return nil, errno
	}
	r := &ring{fd: int(fd)}
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
	r.sqTail, r.cqHead, r.cqTail = at(p.sq.tail), at(p.cq.head), at(p.cq.tail)
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

// run executes what is queued, and calls done with each result.
func (r *ring) run(done func(id int, res int32)) error {
	left := r.queued
	atomic.StoreUint32(r.sqTail, *r.sqTail+left)
	submit := left
	r.queued = 0
	for left > 0 {
		n, errno := r.enter(submit, left)
		if errno != 0 && errno != unix.EINTR && errno != unix.EAGAIN && errno != unix.EBUSY {
			return errno
		}
		submit -= uint32(n)
		head, tail := *r.cqHead, atomic.LoadUint32(r.cqTail)
		for ; head != tail; head++ {
			c := &r.cqes[head&r.cqMask]
			done(int(c.userData), c.res)
			left--
		}
		atomic.StoreUint32(r.cqHead, head)
	}
	r.blocker = false
	return nil
}

func (r *ring) enter(submit, wait uint32) (int, syscall.Errno) {
	r.enters++
	var n uintptr
	var errno syscall.Errno
	if r.blocker {
		n, _, errno = syscall.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(submit), uintptr(wait), enterGetEvents, 0, 0)
	} else {
		n, _, errno = syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(submit), uintptr(wait), enterGetEvents, 0, 0)
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
