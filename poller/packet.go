//go:build linux

package poller

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Packet is struct mmsghdr: one message of a recvmmsg or a sendmmsg. Where a
// receiver has asked for it (UDP_GRO), a message may be several datagrams of one
// peer, one behind the other, and so may one that is sent (UDP_SEGMENT).
type Packet struct {
	unix.Msghdr
	Len uint32 // bytes received or sent, as the kernel says
	_   uint32
}

// HarvestPackets has the harvest receive datagrams, once, by recvmmsg, into a slot
// that LayOutPackets has prepared. Event.N is then the number of Packets; as many as
// the slot has room for mean that more may be waiting.
const HarvestPackets Interest = 3

// Sizes that the ABI fixes.
const (
	packetSize  = 64
	packetsFrom = 64 // where in a slot the first Packet is
)

// PacketName is how many bytes there are for a peer's address.
const PacketName = unix.SizeofSockaddrAny

// RecvMMsg records recvmmsg(fd, msgs, n, MSG_DONTWAIT, NULL).
func (e *Entry) RecvMMsg(fd int32, msgs *Packet, n int) {
	e.NR, e.Flags = unix.SYS_RECVMMSG, 0
	e.Args = [6]uint64{uint64(fd), uint64(uintptr(unsafe.Pointer(msgs))), uint64(n), unix.MSG_DONTWAIT}
}

// SendMMsg records sendmmsg(fd, msgs, n, MSG_DONTWAIT|MSG_NOSIGNAL). Its result is
// how many messages were sent: fewer than n if the next one cannot be, which only a
// sendmmsg that begins with it says why. It is short then, for a chain.
func (e *Entry) SendMMsg(fd int32, msgs *Packet, n int) {
	e.NR, e.Flags = unix.SYS_SENDMMSG, 0
	e.Args = [6]uint64{uint64(fd), uint64(uintptr(unsafe.Pointer(msgs))), uint64(n), unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL}
}

// PacketLayout is how a slot is divided among the messages of one receive.
type PacketLayout struct {
	Messages int // most of them
	Size     int // bytes of each
	Control  int // and of its control messages, a multiple of 8
}

// packetsHead begins a slot of packets (struct esca_packets in kmodule/esca.h).
type packetsHead struct {
	messages uint32
	control  uint32 // the executor does not look at it
}

// meta is what a message has beside its bytes and its header: iovec, name, control.
func (p PacketLayout) meta() int { return int(unsafe.Sizeof(unix.Iovec{})) + PacketName + p.Control }

// stride is from one message's bytes to the next's: caches index by the lower bits of
// an address, and these are to differ.
func (p PacketLayout) stride() int { return (p.Size+63)&^63 + 5*64 }

// data is where in a slot the first message's bytes are.
func (p PacketLayout) data() int { return (packetsFrom + p.Messages*(packetSize+p.meta()) + 63) &^ 63 }

// SlotSize is the Config.SlotSize that p needs.
func (p PacketLayout) SlotSize() int {
	return p.data() + p.Messages*p.stride()
}

// LayOutPackets prepares every slot for HarvestPackets. A loop does so before its
// backend runs, and does nothing else with its slots.
func (s *Shared) LayOutPackets(p PacketLayout) {
	for slot := range int32(len(s.free)) {
		s.layOut(slot, p)
	}
}

func (s *Shared) layOut(slot int32, p PacketLayout) {
	b := s.Slot(slot)
	*s.head(slot) = packetsHead{uint32(p.Messages), uint32(p.Control)}
	meta := packetsFrom + p.Messages*packetSize
	data := p.data()
	msgs := s.PacketsIn(slot, int32(p.Messages))
	for i := range msgs {
		m := &msgs[i]
		iov := (*unix.Iovec)(unsafe.Pointer(&b[meta]))
		iov.Base = &b[data]
		iov.SetLen(p.Size)
		m.Name = &b[meta+int(unsafe.Sizeof(*iov))]
		m.Namelen = PacketName
		m.Iov = iov
		m.SetIovlen(1)
		if p.Control > 0 {
			m.Control = &b[meta+int(unsafe.Sizeof(*iov))+PacketName]
			m.SetControllen(p.Control)
		}
		meta += p.meta()
		data += p.stride()
	}
}

func (s *Shared) head(slot int32) *packetsHead {
	return (*packetsHead)(unsafe.Pointer(&s.Slot(slot)[0]))
}

// PacketsIn returns the first n messages of a slot.
func (s *Shared) PacketsIn(slot, n int32) []Packet {
	return unsafe.Slice((*Packet)(unsafe.Pointer(&s.Slot(slot)[packetsFrom])), n)
}

// ResetPackets makes the first n messages of a slot, which a receive has written to,
// ready for the next. It is to be called before the slot is given back.
func (s *Shared) ResetPackets(slot, n int32) {
	control := int(s.head(slot).control)
	msgs := s.PacketsIn(slot, n)
	for i := range msgs {
		msgs[i].Namelen = PacketName
		msgs[i].SetControllen(control)
	}
}

// RecvPackets records the receive that the harvest makes, into slot, for who makes
// it by himself: the slot was full, or there was none.
func (s *Shared) RecvPackets(e *Entry, fd, slot int32) {
	n := min(int(s.head(slot).messages), (s.SlotSize-packetsFrom)/packetSize)
	e.RecvMMsg(fd, (*Packet)(unsafe.Pointer(&s.Slot(slot)[packetsFrom])), n)
}

func harvestPackets(sh *Shared, ev *Event, slot int32, exec func(*Entry), c *Counts) {
	if sh.SlotSize < packetsFrom+packetSize {
		return
	}
	e := &sh.scratch
	if sh.RecvPackets(e, ev.FD, slot); e.Args[2] == 0 {
		return // no slot of packets: the event goes out bare
	}
	exec(e)
	c.Crossings++
	c.ByCall[CallRecv]++
	if e.Ret != 0 { // there is no end of a stream of datagrams
		ev.received(slot, e.Ret)
	}
}
