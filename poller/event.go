//go:build linux

package poller

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Event is one ready descriptor, with what the harvest got from it. 32 bytes,
// part of the ABI.
type Event struct {
	FD   int32
	Gen  uint32 // the life of FD that was registered; the number may have a new owner since
	Mask uint32 // EPOLLIN and so on
	Slot int32  // the slot that holds what was harvested, or -1; the receiver of the event frees it
	N    int32  // with a slot: bytes received, records accepted, or packets
	Err  int32  // errno of the harvest (0: none); EAGAIN is none
	EOF  int32  // 1: the peer has ended its stream, and all it sent is in the slot or read before
	_    int32
}

var (
	_ [eventSize - unsafe.Sizeof(Event{})]byte
	_ [unsafe.Sizeof(Event{}) - eventSize]byte
)

// Accepted is one accepted connection in the slot of a listener's event.
type Accepted struct {
	FD   int32
	Len  uint32 // bytes of Addr that are valid
	Addr [112]byte
	_    [8]byte
}

// AcceptedSize is the size of a record of a listener's slot.
const AcceptedSize = 128

var (
	_ [AcceptedSize - unsafe.Sizeof(Accepted{})]byte
	_ [unsafe.Sizeof(Accepted{}) - AcceptedSize]byte
)

// AcceptedIn returns the first n records of a listener's slot.
func (s *Shared) AcceptedIn(slot int32, n int32) []Accepted {
	return unsafe.Slice((*Accepted)(unsafe.Pointer(&s.Slot(slot)[0])), n)
}

// EventData packs a descriptor and its generation into what epoll hands back.
func EventData(ev *unix.EpollEvent, fd int32, gen uint32) {
	ev.Fd, ev.Pad = fd, int32(gen&GenMask)
}
