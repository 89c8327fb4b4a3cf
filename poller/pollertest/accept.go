//go:build linux

package pollertest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

var acceptCases = []testcase{
	{name: "tcp4", run: func(r *rig) { acceptFrom(r, "tcp4") }},
	{name: "tcp6", run: func(r *rig) { acceptFrom(r, "tcp6") }},
	{name: "unix", run: func(r *rig) { acceptFrom(r, "unix") }},

	{name: "a client without a name", run: func(r *rig) {
		l, at := r.listen("unix")
		r.watch(l, 1, poller.HarvestAccept)
		c := r.own(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
		r.must(unix.Connect(int(c), at))
		if recs := r.accepted(r.event()); len(recs) != 1 || address(&recs[0]) != "" {
			r.Errorf("%+v", recs)
		}
	}},

	{name: "none is left when the slot was not full", run: func(r *rig) {
		l, at := r.listen("tcp4")
		r.watch(l, 1, poller.HarvestAccept)
		for round := range 3 {
			for range round + 1 {
				r.dial(at)
			}
			r.queued(l, at, round+1)
			if recs := r.accepted(r.event()); len(recs) != round+1 {
				r.Errorf("%d accepted, want %d", len(recs), round+1)
			}
			r.quiet()
		}
	}},

	{name: "more than a slot", config: poller.Config{Slots: 2, SlotSize: 4 * poller.AcceptedSize}, run: func(r *rig) {
		l, at := r.listen("unix") // there connect wakes the listener itself, and not later
		for range 10 {
			r.dial(at)
		}
		r.queued(l, at, 10)
		r.watch(l, 1, poller.HarvestAccept)
		if recs := r.accepted(r.event()); len(recs) != 4 {
			r.Errorf("%d accepted, want a slot of 4", len(recs))
		}
		r.quiet()
		for range 6 {
			if n := r.callAccept(l); n < 0 {
				r.Errorf("accept: %s", ret(n))
			}
		}
		if n := r.callAccept(l); n != errno(unix.EAGAIN) {
			r.Errorf("accept: %s, want EAGAIN", ret(n))
		}
	}},

	{name: "no slot free", config: poller.Config{Slots: 1, SlotSize: 4096}, run: func(r *rig) {
		l, at := r.listen("tcp4")
		slot := r.sh.TakeSlot()
		r.watch(l, 1, poller.HarvestAccept)
		r.dial(at)
		r.bare(r.event())
		r.sh.FreeSlot(slot)
		r.dial(at)
		r.queued(l, at, 2)
		if recs := r.accepted(r.event()); len(recs) != 2 {
			r.Errorf("%d accepted, want both", len(recs))
		}
	}},

	{name: "nothing asked for", run: func(r *rig) {
		l, at := r.listen("tcp4")
		r.watch(l, 1, poller.HarvestNothing)
		r.dial(at)
		r.bare(r.event())
		if n := r.callAccept(l); n < 0 {
			r.Errorf("accept: %s", ret(n))
		}
	}},

	{name: "not a listener", run: func(r *rig) {
		a, b := r.pair()
		free := r.sh.FreeSlots()
		r.watch(a, 1, poller.HarvestAccept)
		r.write(b, "x")
		if ev := r.event(); unix.Errno(ev.Err) != unix.EINVAL || ev.Slot != -1 || ev.N != 0 {
			r.Errorf("%+v, want EINVAL", ev)
		}
		r.slots(free)
	}},

	// The limit is the whole process's, so a process of its own meets it.
	{name: "out of descriptors", run: func(r *rig) { inChild(r, outOfDescriptors) }},
}

// acceptFrom connects a number of clients at once; one event carries them all.
func acceptFrom(r *rig, network string) {
	l, at := r.listen(network)
	r.watch(l, 9, poller.HarvestAccept)
	const n = 20
	clients := make(map[string]int32)
	for range n {
		c := r.dial(at)
		name, err := unix.Getsockname(int(c))
		r.must(err)
		clients[sockaddr(name)] = c
	}
	r.queued(l, at, n)
	ev := r.event()
	if ev.FD != l || ev.Gen != 9 || ev.Mask&unix.EPOLLIN == 0 || ev.EOF != 0 {
		r.Errorf("%+v", ev)
	}
	recs := r.accepted(ev)
	if len(recs) != n {
		r.Fatalf("%d accepted, want %d", len(recs), n)
	}
	for i := range recs {
		a := &recs[i]
		c, ok := clients[address(a)]
		if !ok {
			r.Errorf("no client, or none any more, has the address %q", address(a))
			continue
		}
		delete(clients, address(a))
		r.send(c, address(a))
		r.exec(r, 1)
		r.n = 0
		r.arrived(a.FD, address(a)) // it does belong to that address
		if fl, err := unix.FcntlInt(uintptr(a.FD), unix.F_GETFL, 0); err != nil || fl&unix.O_NONBLOCK == 0 {
			r.Errorf("descriptor %d blocks: flags %#x, %v", a.FD, fl, err)
		}
		if fl, err := unix.FcntlInt(uintptr(a.FD), unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
			r.Errorf("descriptor %d survives exec: flags %#x, %v", a.FD, fl, err)
		}
	}
	r.quiet()
}

// accepted returns the records that ev carries; its slot is free again.
func (r *rig) accepted(ev poller.Event) []poller.Accepted {
	r.Helper()
	if ev.Slot < 0 || ev.N < 1 {
		r.Fatalf("nothing accepted: %+v", ev)
	}
	recs := append([]poller.Accepted(nil), r.sh.AcceptedIn(ev.Slot, ev.N)...)
	r.sh.FreeSlot(ev.Slot)
	for i := range recs {
		r.own(int(recs[i].FD), nil)
	}
	return recs
}

func (r *rig) callAccept(l int32) int64 {
	e := &poller.Entry{NR: unix.SYS_ACCEPT4}
	e.Args = [6]uint64{0: uint64(l), 3: unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC}
	n := r.call(e)
	if n >= 0 {
		r.own(int(n), nil)
	}
	return n
}

// address is the peer's address in a, as sockaddr writes it.
func address(a *poller.Accepted) string {
	switch binary.NativeEndian.Uint16(a.Addr[:]) {
	case unix.AF_INET:
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&a.Addr))
		return sockaddr(&unix.SockaddrInet4{Addr: sa.Addr, Port: int(binary.BigEndian.Uint16(a.Addr[2:]))})
	case unix.AF_INET6:
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(&a.Addr))
		return sockaddr(&unix.SockaddrInet6{Addr: sa.Addr, Port: int(binary.BigEndian.Uint16(a.Addr[2:]))})
	case unix.AF_UNIX:
		return strings.TrimRight(string(a.Addr[2:a.Len]), "\x00")
	}
	return fmt.Sprintf("family %d", a.Addr[0])
}

func sockaddr(a unix.Sockaddr) string {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)).String()
	case *unix.SockaddrUnix:
		return a.Name
	}
	return fmt.Sprintf("%T", a)
}

// outOfDescriptors leaves room for two of five connections.
func outOfDescriptors(r *rig) {
	l, at := r.listen("unix")
	for range 5 {
		r.dial(at)
	}
	r.queued(l, at, 5)
	r.must(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 256, Max: 256}))
	var fillers []int32
	for {
		fd, err := unix.FcntlInt(uintptr(l), unix.F_DUPFD_CLOEXEC, 0)
		if errors.Is(err, unix.EMFILE) {
			break
		}
		fillers = append(fillers, r.own(fd, err))
	}
	release := func(n int) {
		for _, fd := range fillers[:n] {
			r.close(fd)
		}
		fillers = fillers[n:]
	}

	free := r.sh.FreeSlots()
	r.watch(l, 1, poller.HarvestAccept)
	ev := r.event()
	r.slots(free)
	if unix.Errno(ev.Err) != unix.EMFILE || ev.Slot != -1 || ev.N != 0 {
		r.Errorf("%+v, want EMFILE and no slot", ev)
	}
	release(2)
	r.epollCtl(unix.EPOLL_CTL_MOD, l, 1, poller.MaskIn) // asks again
	ev = r.event()
	if unix.Errno(ev.Err) != unix.EMFILE {
		r.Errorf("%+v, want EMFILE behind two records", ev)
	}
	if recs := r.accepted(ev); len(recs) != 2 {
		r.Errorf("%d accepted, want 2", len(recs))
	}
	release(4) // one to spare: without a number, accept does not even look
	r.epollCtl(unix.EPOLL_CTL_MOD, l, 1, poller.MaskIn)
	if ev = r.event(); ev.Err != 0 {
		r.Errorf("%+v", ev)
	}
	if recs := r.accepted(ev); len(recs) != 3 {
		r.Errorf("%d accepted, want the other 3", len(recs))
	}
}
