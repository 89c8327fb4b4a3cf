//go:build linux

package pollertest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// packetLayout is of the slots that packet cases harvest into.
var packetLayout = poller.PacketLayout{Messages: 4, Size: 2048, Control: 64}

var packetConfig = poller.Config{Slots: 2, SlotSize: packetLayout.SlotSize()}

var packetCases = []testcase{
	{name: "udp4", config: packetConfig, run: func(r *rig) { harvestPackets(r, "udp4") }},
	{name: "udp6", config: packetConfig, run: func(r *rig) { harvestPackets(r, "udp6") }},
	{name: "unixgram", config: packetConfig, run: func(r *rig) { harvestPackets(r, "unixgram") }},

	{name: "an empty one", config: packetConfig, run: func(r *rig) {
		a, at := r.packetSocket("udp4")
		b, _ := r.packetSocket("udp4")
		r.watchPackets(a)
		r.sendTo(b, at, "")
		if got := r.packets(r.event()); len(got) != 1 || got[0].data != "" {
			r.Errorf("%+v, want one of nothing", got)
		}
	}},

	{name: "more than a slot", config: packetConfig, run: func(r *rig) {
		a, at := r.packetSocket("udp4")
		b, _ := r.packetSocket("udp4")
		for i := range packetLayout.Messages + 2 {
			r.sendTo(b, at, fmt.Sprint(i))
		}
		r.watchPackets(a)
		if got := r.packets(r.event()); joined(got) != "0 1 2 3" {
			r.Errorf("%+v, want a slot full", got)
		}
		r.quiet()
		got, n := r.callPackets(a)
		if n != 2 || joined(got) != "4 5" {
			r.Errorf("%s: %+v, want the rest", ret(n), got)
		}
		if _, n := r.callPackets(a); n != errno(unix.EAGAIN) {
			r.Errorf("%s, want EAGAIN", ret(n))
		}
	}},

	{name: "a slot is used again", config: packetConfig, run: func(r *rig) {
		a, at := r.packetSocket("unixgram")
		short, _ := r.packetSocket("unixgram")
		long, _ := r.packetSocket("unixgram")
		nameless := r.own(unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0))
		r.watchPackets(a)
		for _, from := range []int32{long, nameless, short, long} {
			r.sendTo(from, at, "x")
			got := r.packets(r.event())
			want := r.name(from)
			if from == nameless {
				want = ""
			}
			if len(got) != 1 || got[0].from != want {
				r.Errorf("%+v, want one from %q", got, want)
			}
		}
	}},

	{name: "longer than its room", config: packetConfig, run: func(r *rig) {
		a, at := r.packetSocket("udp4")
		b, _ := r.packetSocket("udp4")
		r.watchPackets(a)
		r.sendTo(b, at, text(packetLayout.Size+1))
		r.sendTo(b, at, "y")
		got := r.packets(r.events(1)[0])
		if len(got) == 1 {
			got = append(got, r.packets(r.event())...)
		}
		if len(got) != 2 || got[0].data != text(packetLayout.Size) || got[0].flags&unix.MSG_TRUNC == 0 || got[1].data != "y" || got[1].flags&unix.MSG_TRUNC != 0 {
			r.Errorf("%+v", got)
		}
	}},

	{name: "several that come as one", config: packetConfig, run: func(r *rig) {
		a, at := r.packetSocket("udp4")
		b, _ := r.packetSocket("udp4")
		r.must(unix.SetsockoptInt(int(a), unix.IPPROTO_UDP, unix.UDP_GRO, 1))
		r.watchPackets(a)
		r.sendMMsg(b, r.segmented(r.outgoing(at, text(1030)), 400))
		got := r.packets(r.event())
		if len(got) != 1 || got[0].data != text(1030) || got[0].segment != 400 {
			r.Errorf("%+v, want one of segments of 400", got)
		}
	}},

	{name: "no slot free", config: packetConfig, run: func(r *rig) {
		a, at := r.packetSocket("udp4")
		b, _ := r.packetSocket("udp4")
		slots := [2]int32{r.sh.TakeSlot(), r.sh.TakeSlot()}
		r.watchPackets(a)
		r.sendTo(b, at, "one")
		r.bare(r.event())
		r.sh.FreeSlot(slots[1])
		r.sh.FreeSlot(slots[0])
		r.sendTo(b, at, "two")
		if got := r.packets(r.event()); joined(got) != "one two" {
			r.Errorf("%+v, want both", got)
		}
	}},

	{name: "slots that are none of packets", config: poller.Config{Slots: 2, SlotSize: 256}, run: func(r *rig) {
		a, at := r.packetSocket("udp4")
		b, _ := r.packetSocket("udp4")
		free := r.sh.FreeSlots()
		r.watch(a, 1, poller.HarvestPackets)
		r.sendTo(b, at, "x")
		r.bare(r.event())
		r.slots(free)
	}},

	{name: "nothing asked for", config: packetConfig, run: func(r *rig) {
		a, at := r.packetSocket("udp4")
		b, _ := r.packetSocket("udp4")
		r.watch(a, 1, poller.HarvestNothing)
		r.sendTo(b, at, "x")
		r.bare(r.event())
	}},

	{name: "nobody is there", config: packetConfig, run: func(r *rig) {
		a, _ := r.packetSocket("udp4")
		gone, at := r.packetSocket("udp4")
		r.close(gone)
		r.must(unix.Connect(int(a), at))
		free := r.sh.FreeSlots()
		r.sh.LayOutPackets(packetLayout)
		r.watch(a, 1, poller.HarvestPackets)
		r.sendMMsg(a, r.outgoing(nil, "x"))
		ev := r.event()
		if unix.Errno(ev.Err) != unix.ECONNREFUSED || ev.Slot != -1 || ev.N != 0 {
			r.Errorf("%+v, want ECONNREFUSED", ev)
		}
		r.slots(free)
	}},

	{name: "sent", config: packetConfig, run: func(r *rig) {
		a, at := r.packetSocket("udp4")
		b, other := r.packetSocket("udp4")
		c, _ := r.packetSocket("udp4")
		r.sendMMsg(c, r.outgoing(at, "one"), r.outgoing(other, "two"), r.outgoing(at, "three"))
		r.sendMMsg(c, r.outgoing(at, "four"))
		r.expect(3, 1)
		r.arrivedPackets(a, "one", "three", "four")
		r.arrivedPackets(b, "two")
	}},

	{name: "what cannot be sent stops those behind it", config: packetConfig, run: func(r *rig) {
		a, at := r.packetSocket("udp4")
		b, _ := r.packetSocket("udp4")
		big := text(65508) // one more than a datagram of IPv4 holds
		first := r.sendMMsg(b, r.outgoing(at, "one"), r.outgoing(at, big), r.outgoing(at, "three"))
		second := r.sendMMsg(b, r.outgoing(at, "four"))
		r.chain(first, second)
		r.sendMMsg(b, r.outgoing(at, big))
		r.sendMMsg(b, r.outgoing(at, "five"))
		r.expect(1, errno(unix.ECANCELED), errno(unix.EMSGSIZE), 1)
		r.arrivedPackets(a, "one", "five")
	}},

	{name: "a full socket", config: packetConfig, run: func(r *rig) {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		r.must(err)
		a, b := r.own(p[0], nil), r.own(p[1], nil)
		n := 0
		for ; ; n++ {
			if _, err := unix.Write(int(a), []byte("x")); errors.Is(err, unix.EAGAIN) {
				break
			} else {
				r.must(err)
			}
		}
		r.sendMMsg(a, r.outgoing(nil, "late"))
		r.expect(errno(unix.EAGAIN))
		for range n {
			unix.Read(int(b), make([]byte, 8))
		}
		r.sendMMsg(a, r.outgoing(nil, "late"))
		r.expect(1)
		r.arrivedPackets(b, "late")
	}},
}

// harvestPackets sends a number of datagrams of several peers; one event carries them.
func harvestPackets(r *rig, network string) {
	a, at := r.packetSocket(network)
	b, _ := r.packetSocket(network)
	c, _ := r.packetSocket(network)
	r.watchPackets(a)
	for round := range 3 {
		r.sendTo(b, at, text(10+round))
		r.sendTo(c, at, "x")
		r.sendTo(b, at, text(1400))
		ev := r.event()
		if ev.FD != a || ev.Gen != 1 || ev.EOF != 0 {
			r.Errorf("%+v", ev)
		}
		got := r.packets(ev)
		for len(got) < 3 { // a kernel that is busy delivers later, even over the loopback
			got = append(got, r.packets(r.event())...)
		}
		for i, want := range []packet{{data: text(10 + round), from: r.name(b)}, {data: "x", from: r.name(c)}, {data: text(1400), from: r.name(b)}} {
			if got[i].data != want.data || got[i].from != want.from || got[i].flags != 0 || got[i].segment != 0 {
				r.Errorf("%d: %+v, want %+v", i, got[i], want)
			}
		}
		r.quiet()
	}
}

// packet is a datagram as it was harvested.
type packet struct {
	data, from string
	flags      int32
	segment    int // of UDP_GRO; 0: it is one
}

func joined(ps []packet) string {
	var all []string
	for _, p := range ps {
		all = append(all, p.data)
	}
	return strings.Join(all, " ")
}

// watchPackets registers fd, with slots that are laid out for it.
func (r *rig) watchPackets(fd int32) {
	r.Helper()
	r.sh.LayOutPackets(packetLayout)
	r.watch(fd, 1, poller.HarvestPackets)
}

// packets returns what ev carries; its slot is free again.
func (r *rig) packets(ev poller.Event) []packet {
	r.Helper()
	if ev.Slot < 0 || ev.N < 1 {
		r.Fatalf("nothing received: %+v", ev)
	}
	return r.takePackets(ev.Slot, ev.N)
}

func (r *rig) takePackets(slot, n int32) (ps []packet) {
	for _, m := range r.sh.PacketsIn(slot, n) {
		p := packet{data: string(unsafe.Slice(m.Iov.Base, m.Len)), flags: m.Flags &^ unix.MSG_CMSG_CLOEXEC}
		rec := poller.Accepted{Len: m.Namelen}
		copy(rec.Addr[:], unsafe.Slice(m.Name, m.Namelen))
		if m.Namelen >= 2 && binary.NativeEndian.Uint16(rec.Addr[:]) != 0 {
			p.from = address(&rec)
		}
		if m.Controllen > 0 {
			msgs, err := unix.ParseSocketControlMessage(unsafe.Slice(m.Control, m.Controllen))
			r.must(err)
			for _, c := range msgs {
				if c.Header.Level == unix.IPPROTO_UDP && c.Header.Type == unix.UDP_GRO {
					p.segment = int(binary.NativeEndian.Uint32(c.Data))
				}
			}
		}
		ps = append(ps, p)
	}
	r.sh.ResetPackets(slot, n)
	r.sh.FreeSlot(slot)
	return ps
}

// callPackets receives by Call what the harvest left.
func (r *rig) callPackets(fd int32) ([]packet, int64) {
	slot := r.sh.TakeSlot()
	e := new(poller.Entry)
	r.sh.RecvPackets(e, fd, slot)
	n := r.call(e)
	return r.takePackets(slot, int32(max(n, 0))), n
}

// packetSocket returns a socket of datagrams that does not block, and its address.
func (r *rig) packetSocket(network string) (int32, unix.Sockaddr) {
	r.Helper()
	family, addr := unix.AF_UNIX, unix.Sockaddr(nil)
	switch network {
	case "udp4":
		family, addr = unix.AF_INET, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	case "udp6":
		family, addr = unix.AF_INET6, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}
	case "unixgram":
		addr = &unix.SockaddrUnix{Name: filepath.Join(r.dir(), "packets")}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		r.Skipf("this kernel has no %s", network)
	}
	r.own(fd, err)
	r.must(unix.Bind(fd, addr))
	at, err := unix.Getsockname(fd)
	r.must(err)
	return int32(fd), at
}

// name is the address of fd, as address writes it.
func (r *rig) name(fd int32) string {
	r.Helper()
	at, err := unix.Getsockname(int(fd))
	r.must(err)
	return sockaddr(at)
}

// sendTo sends beside the backend.
func (r *rig) sendTo(fd int32, at unix.Sockaddr, data string) {
	r.Helper()
	r.must(unix.Sendto(int(fd), []byte(data), 0, at))
}

// outgoing is a message with this content; to nobody if the socket is connected.
func (r *rig) outgoing(to unix.Sockaddr, data string) poller.Packet {
	b := r.alloc(max(len(data), 1))
	copy(b, data)
	iov := place(r, unix.Iovec{Base: &b[0]})
	iov.SetLen(len(data))
	m := poller.Packet{Msghdr: unix.Msghdr{Iov: iov}}
	m.SetIovlen(1)
	if to, ok := to.(*unix.SockaddrInet4); ok {
		raw := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr}
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&raw.Port))[:], uint16(to.Port))
		m.Name, m.Namelen = (*byte)(unsafe.Pointer(place(r, raw))), unix.SizeofSockaddrInet4
	}
	return m
}

// segmented has p leave as datagrams of size bytes.
func (r *rig) segmented(p poller.Packet, size uint16) poller.Packet {
	b := r.alloc(unix.CmsgSpace(2))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(b[unix.CmsgLen(0):], size)
	p.Control = &b[0]
	p.SetControllen(len(b))
	return p
}

// sendMMsg records one sendmmsg of these.
func (r *rig) sendMMsg(fd int32, ps ...poller.Packet) *poller.Entry {
	size := int(unsafe.Sizeof(poller.Packet{}))
	all := unsafe.Slice((*poller.Packet)(unsafe.Pointer(&r.alloc(len(ps) * size)[0])), len(ps))
	copy(all, ps)
	e := r.add()
	e.SendMMsg(fd, &all[0], len(ps))
	return e
}

// arrivedPackets fails unless exactly these have come to fd.
func (r *rig) arrivedPackets(fd int32, want ...string) {
	r.Helper()
	b := make([]byte, 1<<16)
	for _, w := range want {
		r.await(fd, unix.POLLIN)
		n, err := unix.Read(int(fd), b)
		r.must(err)
		if got := string(b[:n]); got != w {
			r.Errorf("the peer got %s, want %s", excerpt(got), excerpt(w))
		}
	}
	if n, err := unix.Read(int(fd), b); err == nil {
		r.Errorf("the peer got %s too much", excerpt(string(b[:n])))
	}
}
