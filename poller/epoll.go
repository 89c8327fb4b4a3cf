//go:build linux

package poller

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Masks a descriptor is registered with. Edge-triggered throughout: an event
// says that something changed since the last one. Out is added while a send has
// left something behind, and only then: a unix socket would otherwise report
// each byte its peer reads.
const (
	MaskIn    = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET
	MaskInOut = MaskIn | unix.EPOLLOUT
)

// Epoll is an epoll instance and the eventfd that wakes whoever waits on it.
type Epoll struct {
	FD   int32
	wake int32
	file *os.File // FD, in Go's netpoller
	raw  syscall.RawConn
	look func() bool        // of the Park under way
	ask  func(uintptr) bool // calls look; made once, as it is on the heap
}

// OpenEpoll creates both.
func OpenEpoll() (*Epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // or os.NewFile does not register it
		unix.Close(fd)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	e := &Epoll{FD: int32(fd), wake: int32(wake), file: os.NewFile(uintptr(fd), "epoll")}
	if err := e.register(); err != nil {
		e.Close()
		return nil, err
	}
	// Edge-triggered, so that nobody has to read it: each write is an edge.
	if err := e.Add(e.wake, 0, unix.EPOLLIN|unix.EPOLLET); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// Add registers fd, in its life gen.
func (e *Epoll) Add(fd int32, gen uint32, mask uint32) error {
	ev := unix.EpollEvent{Events: mask}
	EventData(&ev, fd, gen)
	if err := unix.EpollCtl(int(e.FD), unix.EPOLL_CTL_ADD, int(fd), &ev); err != nil {
		return fmt.Errorf("epoll_ctl: add descriptor %d: %w", fd, err)
	}
	return nil
}

// Remove takes fd out. Closing the last reference to a socket does so too.
func (e *Epoll) Remove(fd int32) error {
	return unix.EpollCtl(int(e.FD), unix.EPOLL_CTL_DEL, int(fd), nil)
}

// register checks that the epoll is in Go's netpoller: an epoll can be polled
// itself, and is readable when it has an event to report.
func (e *Epoll) register() (err error) {
	if err := e.file.SetReadDeadline(time.Time{}); err != nil { // that is how it says so
		return fmt.Errorf("epoll: Go's netpoller does not take it: %w", err)
	}
	e.ask = func(uintptr) bool { return e.look() }
	e.raw, err = e.file.SyscallConn()
	return err
}

// Park calls look until it returns true, and in between takes the calling
// goroutine off its thread and its processor until the epoll has an event, or
// Wake is called. look must have asked the epoll for all it had, in vain, or all that is
// in it, when it returns false: Go's netpoller is edge-triggered, and what lies there already is
// no edge. On some kernels a look can be told of nothing although something is there, while
// the netpoller asks the same epoll on another thread; then that one finds it, and says so
// after the look, which is the edge. So nobody else may ask the epoll whether it is
// readable. A Wake from then on has look called again, even one by look itself, which so
// gives the goroutines that are runnable, or whose descriptors are ready, their turn. One
// that look's own question has answered does not: what it is about has to be seen by
// look. The loop's driver calls it. The only error is os.ErrClosed.
func (e *Epoll) Park(look func() bool) error {
	e.look = look
	err := e.raw.Read(e.ask)
	if err != nil { // internal/poll's, which no program can name
		return fmt.Errorf("park: %w", os.ErrClosed)
	}
	return nil
}

// Wake makes the Park under way, or else the next one, look again. Safe from any
// goroutine, but not after Close; callers coalesce. The write cannot block, and Go's
// scheduler is not told of it: that would wake its monitor thread where it sleeps, which
// then comes by every 20 µs for a while.
func (e *Epoll) Wake() {
	one := [8]byte{1}
	syscall.RawSyscall(unix.SYS_WRITE, uintptr(e.wake), uintptr(unsafe.Pointer(&one)), uintptr(len(one)))
}

// Close closes both descriptors, once it has ended the Park under way; so not from
// its look. A second one is an error.
func (e *Epoll) Close() error {
	if err := e.file.Close(); err != nil {
		return err
	}
	return unix.Close(int(e.wake))
}
