//go:build linux

package poller

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Entry is one recorded system call: 64 bytes, one cache line. The layout is
// the ABI shared with every executor, after the table of the ESCA paper (PDP
// 2022, section III). NR is the machine's own system call number; the executor
// writes Ret: the call's result, or the negated errno.
//
// A transfer is short if it moved less than it was asked to. Where that is not
// an argument (sendmsg, recvmsg, readv, writev), Args[5], which those calls do
// not have, says how many bytes are asked for; zero: never short.
//
// What an argument points to must stay where it is until Ret is written: use
// memory of Shared, or memory of Go's heap (which does not move) that the owner
// of the entry keeps reachable. Never memory of a stack.
type Entry struct {
	NR    uint32
	Flags uint32
	Ret   int64
	Args  [6]uint64
}

// Sizes that the ABI fixes.
const (
	entrySize = 64
	eventSize = 32
)

var (
	_ [entrySize - unsafe.Sizeof(Entry{})]byte
	_ [unsafe.Sizeof(Entry{}) - entrySize]byte
)

// Link, the flag of an entry, chains it to the one behind it: if it fails, or
// transfers less than it was asked to, the rest of the chain is not run and gets
// -ECANCELED. A chain ends with the first entry without Link. (The module's other
// flags are for who has it wait, which a Tick does not.)
const Link uint32 = 1 << 0

// Prompt, a flag of a call that is made by itself and not of the table's ABI, says
// that the call waits for nothing, though one of its kind may: Go's scheduler is not
// told of it, and the caller keeps its P. A sendfile of what lies in memory takes
// longer than the 20 µs after which sysmon gives a P away, and with GOMAXPROCS=1
// several threads would pass it around.
const Prompt uint32 = 1 << 31

// Nop as NR marks an entry that is not to be run; its Ret becomes 0. An
// executor treats it as a success, so it does not break a chain.
const Nop = ^uint32(0)

// Send records send(fd, buf, n, MSG_DONTWAIT|MSG_NOSIGNAL|flags).
func (e *Entry) Send(fd int32, buf unsafe.Pointer, n int, flags int) {
	e.NR, e.Flags = unix.SYS_SENDTO, 0
	e.Args = [6]uint64{uint64(fd), uint64(uintptr(buf)), uint64(n), uint64(unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL | flags)}
}

// SendMsg records sendmsg(fd, msg, MSG_DONTWAIT|MSG_NOSIGNAL).
func (e *Entry) SendMsg(fd int32, msg *unix.Msghdr) {
	e.NR, e.Flags = unix.SYS_SENDMSG, 0
	e.Args = [6]uint64{uint64(fd), uint64(uintptr(unsafe.Pointer(msg))), unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL}
	for _, v := range unsafe.Slice(msg.Iov, msg.Iovlen) {
		e.Args[5] += uint64(v.Len)
	}
}

// Recv records recv(fd, buf, n, MSG_DONTWAIT).
func (e *Entry) Recv(fd int32, buf unsafe.Pointer, n int) {
	e.NR, e.Flags = unix.SYS_RECVFROM, 0
	e.Args = [6]uint64{uint64(fd), uint64(uintptr(buf)), uint64(n), unix.MSG_DONTWAIT}
}

// Accept makes e accept4(fd, &a.Addr, &a.Len, SOCK_NONBLOCK|SOCK_CLOEXEC), of a
// listening socket that does not block. Not for a table.
func (e *Entry) Accept(fd int32, a *Accepted) {
	a.Len = uint32(len(a.Addr))
	e.NR, e.Flags = unix.SYS_ACCEPT4, Prompt
	e.Args = [6]uint64{uint64(fd), uint64(uintptr(unsafe.Pointer(&a.Addr[0]))), uint64(uintptr(unsafe.Pointer(&a.Len))), unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC}
}

// Readiness is what Poll points to.
type Readiness struct {
	fd   unix.PollFd
	none unix.Timespec // how long it waits
}

// Poll makes e a poll of fd for input, by way of r, that does not wait: Ret is 1 if
// there is something, or an error to be fetched, and 0 if not. Not for a table.
func (e *Entry) Poll(r *Readiness, fd int32) {
	r.fd = unix.PollFd{Fd: fd, Events: unix.POLLIN}
	e.NR, e.Flags = unix.SYS_PPOLL, Prompt
	e.Args = [6]uint64{uint64(uintptr(unsafe.Pointer(&r.fd))), 1, uint64(uintptr(unsafe.Pointer(&r.none)))}
}

// Sendfile records sendfile(out, in, off, n). A nil off reads from, and moves,
// the file's own offset; otherwise the kernel advances *off.
func (e *Entry) Sendfile(out, in int32, off *int64, n int64) {
	e.NR, e.Flags = unix.SYS_SENDFILE, 0
	e.Args = [6]uint64{uint64(out), uint64(in), uint64(uintptr(unsafe.Pointer(off))), uint64(n)}
}

// CloseFD records close(fd).
func (e *Entry) CloseFD(fd int32) {
	e.NR, e.Flags = unix.SYS_CLOSE, 0
	e.Args = [6]uint64{uint64(fd)}
}

// promptClose is Args[5] of a close, which that call does not have, where it waits for
// nothing: of a socket without SO_LINGER.
const promptClose = 1

// CloseSocket records close(fd) of a socket without SO_LINGER, of which Go's scheduler
// need not be told.
func (e *Entry) CloseSocket(fd int32) {
	e.CloseFD(fd)
	e.Args[5] = promptClose
}

// Shutdown records shutdown(fd, how).
func (e *Entry) Shutdown(fd int32, how int) {
	e.NR, e.Flags = unix.SYS_SHUTDOWN, 0
	e.Args = [6]uint64{uint64(fd), uint64(how)}
}

// EpollCtl records epoll_ctl(ep, op, fd, ev).
func (e *Entry) EpollCtl(ep, op, fd int32, ev *unix.EpollEvent) {
	e.NR, e.Flags = unix.SYS_EPOLL_CTL, 0
	e.Args = [6]uint64{uint64(ep), uint64(op), uint64(fd), uint64(uintptr(unsafe.Pointer(ev)))}
}

// breaks reports whether what is chained to e, which was run or cancelled, is
// not to be run.
func (e *Entry) breaks() bool { return e.Flags&Link != 0 && (e.Ret < 0 || e.short()) }

// short reports whether a transfer was short, which breaks a chain as a failure
// does. Calls that transfer nothing are never short.
func (e *Entry) short() bool {
	switch e.NR {
	case unix.SYS_SENDTO, unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_RECVFROM, unix.SYS_READ, unix.SYS_PREAD64,
		unix.SYS_SENDMMSG, unix.SYS_RECVMMSG: // of messages
		return uint64(e.Ret) < e.Args[2]
	case unix.SYS_SENDFILE:
		return uint64(e.Ret) < e.Args[3]
	case unix.SYS_SPLICE:
		return uint64(e.Ret) < e.Args[4]
	case unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_WRITEV, unix.SYS_READV:
		return uint64(e.Ret) < e.Args[5]
	}
	return false
}
