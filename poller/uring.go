//go:build linux

package poller

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// uring has an io_uring execute the table and the harvest, a crossing each, and looks
// by epoll: three crossings a tick at the most, however many connections.
//
// It is a plain executor. Everything it is given is told not to wait, so that it
// completes as it is submitted and nothing is in flight between two ticks; so no
// buffer is left in the kernel's hands, no completion can find its queue full, and
// any thread may tick. What a ring would put off or hand to a thread of its own
// (sendfile, shutdown, epoll_ctl) and tables too small to gain anything are direct
// calls.
//
// What a ring does not take is run by direct calls, as the rest of its chain and
// descriptor demand: because the kernel has no memory for it just then, and the next
// table finds the ring again; or because the process may not enter a ring any more,
// and the next Tick says that the backend is direct from now on.
//
// It needs nothing of a kernel but what the probe tries, and has so no second
// path for a kernel with less. What it leaves out, and why: a ring's descriptor is
// registered for one task, and drivers change threads; registering a file costs the
// crossing that it is to save, once for each connection; a completion that is
// skipped on success hides a short send; and a wait that rides along with the sends
// saves one of a tick's three crossings, some 200 ns for a dozen requests or more.
type uring struct {
	refusable
	ring  *ring
	pays  int
	why   error   // why it last took nothing
	slots []int32 // of the harvest under way, by event

	stretch uint32   // of entries that one run of the ring takes
	chained []uint32 // by descriptor: in which stretch it last was in a chain
}

var _ Backend = (*uring)(nil)

type uringFactory struct{}

func (uringFactory) Name() string { return "uring" }

func (uringFactory) Open(ep *Epoll, sh *Shared) (Backend, error) {
	r, err := openRing(max(len(sh.Entries), len(sh.Events)))
	if err != nil {
		return nil, fmt.Errorf("backend uring: %w", whyNoRing(err))
	}
	return &uring{refusable: newRefusable(ep, sh), ring: r, pays: ringPays}, nil
}

// ringPays is from how many operations on a ring costs less than direct calls:
// measured, over TCP on loopback.
const ringPays = 4

func (u *uring) Close() error { return u.ring.close() }

func (u *uring) Run(n int) {
	if u.refused {
		u.direct.Run(n)
		return
	}
	entries := u.sh.Entries[:n]
	for i := 0; i < n; {
		// A stretch that the ring takes, then one that it does not.
		j := i
		for u.stretch++; j < n; {
			k := ringChain(entries, j)
			if k == j || u.overtakes(entries[j:k]) {
				break
			}
			j = k
		}
		if j-i >= u.pays && !u.refused {
			u.runOnRing(entries, i, j)
			i = j
		} else if j == i { // also if it is a chain that does not come into a new stretch
			j = chainEnd(entries, i)
		}
		if j > i {
			u.add(Chain(entries[i:j], execute))
			i = j
		}
	}
}

// overtakes reports whether chain, if it came into the stretch, could run before
// the rest of an earlier one on the same descriptor: what is linked is begun
// after everything that is not.
func (u *uring) overtakes(chain []Entry) bool {
	for i := range chain {
		if fd := int(chain[i].Args[0]); fd >= 0 && fd < len(u.chained) && u.chained[fd] == u.stretch {
			return true
		}
	}
	if len(chain) == 1 {
		return false
	}
	for i := range chain {
		fd := int(chain[i].Args[0])
		if fd < 0 || fd > 1<<24 {
			return true // no descriptor, but the call is to say so
		}
		for fd >= len(u.chained) {
			u.chained = append(u.chained, make([]uint32, fd+64-len(u.chained))...)
		}
		u.chained[fd] = u.stretch
	}
	return false
}

// chainEnd returns where the chain that begins at i ends.
func chainEnd(entries []Entry, i int) int {
	for i < len(entries)-1 && entries[i].Flags&Link != 0 {
		i++
	}
	return i + 1
}

// ringChain returns the end of the chain at i if a ring can execute it, or else i.
func ringChain(entries []Entry, i int) int {
	end := chainEnd(entries, i)
	for k := i; k < end; k++ {
		if !ringable(&entries[k], k < end-1) {
			return i
		}
	}
	if entries[end-1].Flags&Link != 0 { // to the table's end
		return i
	}
	return end
}

// ringable reports whether e is executed by a ring as by a call, and at once.
func ringable(e *Entry, linked bool) bool {
	switch e.NR {
	case unix.SYS_SENDTO:
		return e.Args[3]&unix.MSG_DONTWAIT != 0 && e.Args[4] == 0 && e.Args[2] < 1<<31
	case unix.SYS_SENDMSG:
		return e.Args[2]&unix.MSG_DONTWAIT != 0
	case unix.SYS_RECVFROM:
		return !linked && e.Args[3]&unix.MSG_DONTWAIT != 0 && e.Args[4] == 0 && e.Args[2] < 1<<31
	case unix.SYS_CLOSE:
		return true
	}
	return false
}

func (u *uring) runOnRing(entries []Entry, from, to int) {
	r := u.ring
	for i := from; i < to; i++ {
		e := &entries[i]
		s := r.next(i)
		s.fd = int32(e.Args[0])
		switch e.NR {
		case unix.SYS_SENDTO:
			s.opcode, s.addr, s.len, s.opFlags = opSend, e.Args[1], uint32(e.Args[2]), uint32(e.Args[3])
		case unix.SYS_SENDMSG:
			s.opcode, s.addr, s.len, s.opFlags = opSendMsg, e.Args[1], 1, uint32(e.Args[2])
		case unix.SYS_RECVFROM:
			s.opcode, s.addr, s.len, s.opFlags = opRecv, e.Args[1], uint32(e.Args[2]), uint32(e.Args[3])
		case unix.SYS_CLOSE:
			s.opcode = opClose
			r.blocker = r.blocker || mayBlock(e)
		}
		if e.Flags&Link != 0 {
			s.flags = sqeLink
			if e.NR != unix.SYS_CLOSE {
				s.opFlags |= unix.MSG_WAITALL // with it a short send breaks the chain
			}
		}
		e.Ret = -int64(unix.ECANCELED)
	}
	taken := from + u.enter(func(i int, res int32) { entries[i].Ret = int64(res) })
	for i := from; i < taken; i++ {
		if e := &entries[i]; e.Ret != -int64(unix.ECANCELED) {
			u.counts.ByCall[callOf(e.NR)]++
		}
	}
	u.add(chainFrom(entries[:to], taken, execute))
}

// enter runs the ring, and returns how many of what was queued have a result. The
// others are to be called directly.
func (u *uring) enter(done func(id int, res int32)) int {
	enters := u.ring.enters
	taken, err := u.ring.run(done)
	u.counts.Crossings += u.ring.enters - enters
	if err != nil {
		u.why = err
	}
	u.entered("uring", err)
	return taken
}

func (u *uring) Tick(n int) (int, error) {
	u.Run(n)
	u.counts.Ticks++
	if u.refused {
		return u.told(u.look())
	}
	m, err := u.ask()
	if err != nil {
		return 0, err
	}
	out, recvs := 0, 0
	u.slots = u.slots[:0]
	for i := range m {
		r := &u.ready[i]
		if r.Fd == u.ep.wake {
			continue
		}
		ev := &u.sh.Events[out]
		*ev = Event{FD: r.Fd, Gen: uint32(r.Pad), Mask: r.Events, Slot: -1}
		slot := int32(-1)
		if r.Events&^unix.EPOLLOUT != 0 {
			switch u.sh.InterestOf(ev.FD, ev.Gen) {
			case HarvestRecv:
				if slot = u.sh.TakeSlot(); slot >= 0 {
					recvs++
				}
			case HarvestAccept, HarvestPackets: // no operation of a ring's
				u.add(Harvest(u.sh, ev, execute))
			}
		}
		u.slots = append(u.slots, slot)
		out++
	}
	if recvs > 0 {
		u.receive(out, recvs)
	}
	return u.told(out, nil)
}

// receive harvests the events that a slot was taken for.
func (u *uring) receive(events, recvs int) {
	sh, taken := u.sh, 0
	if recvs >= u.pays {
		taken = u.receiveOnRing(events)
		u.counts.ByCall[CallRecv] += uint64(taken)
	}
	for i, slot := range u.slots[:events] {
		switch {
		case slot < 0:
		case taken > 0: // the first ones
			taken--
		default:
			var c Counts
			harvestRecv(sh, &sh.Events[i], slot, execute, &c)
			u.add(c)
		}
	}
	for i := events - 1; i >= 0; i-- { // the hottest on top again
		if slot := u.slots[i]; slot >= 0 && sh.Events[i].Slot < 0 {
			sh.FreeSlot(slot)
		}
	}
}

// receiveOnRing returns how many of the events that a slot was taken for it has
// harvested.
func (u *uring) receiveOnRing(events int) int {
	sh := u.sh
	for i, slot := range u.slots[:events] {
		if slot >= 0 {
			s := u.ring.next(i)
			s.opcode, s.fd, s.opFlags = opRecv, sh.Events[i].FD, unix.MSG_DONTWAIT
			s.addr, s.len = uint64(uintptr(unsafe.Pointer(&sh.Slot(slot)[0]))), uint32(sh.SlotSize)
		}
	}
	return u.enter(func(i int, res int32) { sh.Events[i].received(u.slots[i], int64(res)) })
}
