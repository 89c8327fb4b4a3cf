//go:build linux

package poller

import (
	"fmt"

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
}

// OpenEpoll creates both.
func OpenEpoll() (*Epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	e := &Epoll{FD: int32(fd), wake: int32(wake)}
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

// Wake makes the wait under way, or else the next one, return. Safe from any
// goroutine; callers coalesce.
func (e *Epoll) Wake() {
	one := [8]byte{1}
	unix.Write(int(e.wake), one[:])
}

// Close closes both descriptors.
func (e *Epoll) Close() error {
	unix.Close(int(e.wake))
	return unix.Close(int(e.FD))
}
