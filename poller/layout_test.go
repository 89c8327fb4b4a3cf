//go:build linux

package poller

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The numbers are the ABI: they change in no release, and every executor that
// is not written in Go has them too.
func TestLayout(t *testing.T) {
	var (
		e  Entry
		ev Event
		a  Accepted
		p  Packet
		h  packetsHead
	)
	for _, c := range []struct {
		what string
		got  uintptr
		want uintptr
	}{
		{"sizeof Entry", unsafe.Sizeof(e), 64},
		{"Entry.NR", unsafe.Offsetof(e.NR), 0},
		{"Entry.Flags", unsafe.Offsetof(e.Flags), 4},
		{"Entry.Ret", unsafe.Offsetof(e.Ret), 8},
		{"Entry.Args", unsafe.Offsetof(e.Args), 16},
		{"sizeof Entry.NR", unsafe.Sizeof(e.NR), 4},
		{"sizeof Entry.Flags", unsafe.Sizeof(e.Flags), 4},
		{"sizeof Entry.Ret", unsafe.Sizeof(e.Ret), 8},
		{"sizeof Entry.Args", unsafe.Sizeof(e.Args), 48},

		{"sizeof Event", unsafe.Sizeof(ev), 32},
		{"Event.FD", unsafe.Offsetof(ev.FD), 0},
		{"Event.Gen", unsafe.Offsetof(ev.Gen), 4},
		{"Event.Mask", unsafe.Offsetof(ev.Mask), 8},
		{"Event.Slot", unsafe.Offsetof(ev.Slot), 12},
		{"Event.N", unsafe.Offsetof(ev.N), 16},
		{"Event.Err", unsafe.Offsetof(ev.Err), 20},
		{"Event.EOF", unsafe.Offsetof(ev.EOF), 24},

		{"sizeof Accepted", unsafe.Sizeof(a), 128},
		{"Accepted.FD", unsafe.Offsetof(a.FD), 0},
		{"Accepted.Len", unsafe.Offsetof(a.Len), 4},
		{"Accepted.Addr", unsafe.Offsetof(a.Addr), 8},
		{"sizeof Accepted.Addr", unsafe.Sizeof(a.Addr), 112},

		{"sizeof Packet", unsafe.Sizeof(p), 64},
		{"Packet.Len", unsafe.Offsetof(p.Len), 56},
		{"packetsHead.messages", unsafe.Offsetof(h.messages), 0},
		{"sizeof packetsHead", unsafe.Sizeof(h), 8},

		{"entrySize", entrySize, 64},
		{"packetSize", packetSize, 64},
		{"packetsFrom", packetsFrom, 64},
		{"eventSize", eventSize, 32},
		{"AcceptedSize", AcceptedSize, 128},
		{"Link", uintptr(Link), 1},
		{"Nop", uintptr(Nop), 0xffffffff},
		{"GenMask", GenMask, 0x3fffffff},
		{"HarvestNothing", uintptr(HarvestNothing), 0},
		{"HarvestRecv", uintptr(HarvestRecv), 1},
		{"HarvestAccept", uintptr(HarvestAccept), 2},
		{"HarvestPackets", uintptr(HarvestPackets), 3},
	} {
		if c.got != c.want {
			t.Errorf("%s is %#x, want %#x", c.what, c.got, c.want)
		}
	}
}

// What epoll hands back is one word: the descriptor below, the generation above.
func TestEventData(t *testing.T) {
	for _, c := range []struct {
		fd   int32
		gen  uint32
		want uint64
	}{
		{0, 0, 0},
		{5, 7, 7<<32 | 5},
		{1<<20 - 1, GenMask, 0x3fffffff_000fffff},
		{5, GenMask + 1, 5},
		{5, 1<<32 - 1, 0x3fffffff_00000005},
	} {
		var ev unix.EpollEvent
		EventData(&ev, c.fd, c.gen)
		data := unsafe.Slice((*byte)(unsafe.Pointer(&ev.Fd)), 8)
		if got := binary.LittleEndian.Uint64(data); got != c.want {
			t.Errorf("descriptor %d, generation %#x: %#x, want %#x", c.fd, c.gen, got, c.want)
		}
	}
}

func TestInterestWord(t *testing.T) {
	s := newShared(t, Config{MaxFD: 10})
	s.SetInterest(7, 0x123, HarvestAccept)
	if got := s.interest[7]; got != 0x123<<2|2 {
		t.Errorf("%#x", got)
	}
}

// What each method records, literally: it is what an executor reads.
func TestEntries(t *testing.T) {
	buf := new([64]byte)
	off, ev := new(int64), new(unix.EpollEvent)
	msg := &unix.Msghdr{Iov: &[]unix.Iovec{{Len: 1}, {Len: 0}, {Len: 9}}[0], Iovlen: 3}
	packets := new([2]Packet)
	addr := func(p unsafe.Pointer) uint64 { return uint64(uintptr(p)) }
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	for _, c := range []struct {
		name   string
		record func(*Entry)
		nr     uint32
		args   [6]uint64
	}{
		{"send", func(e *Entry) { e.Send(3, unsafe.Pointer(buf), 64, unix.MSG_MORE) }, unix.SYS_SENDTO, [6]uint64{3, addr(unsafe.Pointer(buf)), 64, flags | unix.MSG_MORE}},
		{"sendmsg", func(e *Entry) { e.SendMsg(3, msg) }, unix.SYS_SENDMSG, [6]uint64{3, addr(unsafe.Pointer(msg)), flags, 0, 0, 10}},
		{"recv", func(e *Entry) { e.Recv(3, unsafe.Pointer(buf), 64) }, unix.SYS_RECVFROM, [6]uint64{3, addr(unsafe.Pointer(buf)), 64, unix.MSG_DONTWAIT}},
		{"sendmmsg", func(e *Entry) { e.SendMMsg(3, &packets[0], 2) }, unix.SYS_SENDMMSG, [6]uint64{3, addr(unsafe.Pointer(packets)), 2, flags}},
		{"recvmmsg", func(e *Entry) { e.RecvMMsg(3, &packets[0], 2) }, unix.SYS_RECVMMSG, [6]uint64{3, addr(unsafe.Pointer(packets)), 2, unix.MSG_DONTWAIT}},
		{"sendfile", func(e *Entry) { e.Sendfile(3, 4, off, 1<<40) }, unix.SYS_SENDFILE, [6]uint64{3, 4, addr(unsafe.Pointer(off)), 1 << 40}},
		{"sendfile at the file's offset", func(e *Entry) { e.Sendfile(3, 4, nil, 9) }, unix.SYS_SENDFILE, [6]uint64{3, 4, 0, 9}},
		{"close", func(e *Entry) { e.CloseFD(3) }, unix.SYS_CLOSE, [6]uint64{3}},
		{"close of a socket", func(e *Entry) { e.CloseSocket(3) }, unix.SYS_CLOSE, [6]uint64{3, 0, 0, 0, 0, promptClose}},
		{"shutdown", func(e *Entry) { e.Shutdown(3, unix.SHUT_WR) }, unix.SYS_SHUTDOWN, [6]uint64{3, 1}},
		{"epoll_ctl", func(e *Entry) { e.EpollCtl(9, unix.EPOLL_CTL_MOD, 3, ev) }, unix.SYS_EPOLL_CTL, [6]uint64{9, 3, 3, addr(unsafe.Pointer(ev))}},
	} {
		// A table is used over and over: nothing of an earlier entry may stay.
		e := &Entry{NR: 1, Flags: Link, Ret: 2, Args: [6]uint64{9, 9, 9, 9, 9, 9}}
		c.record(e)
		if e.NR != c.nr || e.Flags != 0 || e.Args != c.args {
			t.Errorf("%s: %+v, want number %d, arguments %v", c.name, *e, c.nr, c.args)
		}
	}
}
