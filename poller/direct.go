//go:build linux

package poller

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Direct executes each entry as a system call of its own. It works wherever
// Linux does: the baseline that the others are measured by, and their fallback.
var Direct Factory = directFactory{}

type directFactory struct{}

func (directFactory) Name() string { return "direct" }
func (directFactory) Probe() Probe { return Probe{Name: "direct"} }
func (directFactory) Open(ep *Epoll, sh *Shared) (Backend, error) {
	return newDirect(ep, sh), nil
}

type direct struct {
	ep     *Epoll
	sh     *Shared
	ready  []unix.EpollEvent
	counts Counts
}

var _ Backend = (*direct)(nil)

func newDirect(ep *Epoll, sh *Shared) *direct {
	return &direct{ep: ep, sh: sh, ready: make([]unix.EpollEvent, len(sh.Events))}
}

func (d *direct) Counts() *Counts { return &d.counts }
func (d *direct) Close() error    { return nil }
func (d *direct) Call(e *Entry)   { execute(e) }

func (d *direct) Run(n int) {
	d.add(Chain(d.sh.Entries[:n], execute))
}

func (d *direct) Tick(n int) (int, error) {
	d.Run(n)
	d.counts.Ticks++
	return d.look()
}

// look harvests what is ready.
func (d *direct) look() (int, error) {
	m, err := d.ask()
	if err != nil {
		return 0, err
	}
	out := 0
	for i := range m {
		r := &d.ready[i]
		if r.Fd == d.ep.wake {
			continue
		}
		ev := &d.sh.Events[out]
		*ev = Event{FD: r.Fd, Gen: uint32(r.Pad), Mask: r.Events, Slot: -1}
		if r.Events&^unix.EPOLLOUT != 0 {
			d.add(Harvest(d.sh, ev, execute))
		}
		out++
	}
	return out, nil
}

// ask asks the epoll which descriptors are ready. Nothing sleeps, so Go's
// scheduler is not told: the announcement would cost as much as the call.
func (d *direct) ask() (int, error) {
	for {
		d.counts.Crossings++
		d.counts.ByCall[CallEpollWait]++
		m, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(d.ep.FD), uintptr(unsafe.Pointer(&d.ready[0])), uintptr(len(d.ready)), 0, 0, 0)
		switch errno {
		case 0:
			return int(m), nil
		case unix.EINTR: // it has not looked, and who sees nothing parks
		default:
			return 0, fmt.Errorf("epoll_wait: %w", errno)
		}
	}
}

func (d *direct) add(c Counts) { d.counts.Add(&c) }

// execute runs one entry as a system call.
func execute(e *Entry) {
	if e.NR == Nop {
		e.Ret = 0
		return
	}
	a := &e.Args
	var r uintptr
	var errno syscall.Errno
	if mayBlock(e) {
		r, _, errno = syscall.Syscall6(uintptr(e.NR), uintptr(a[0]), uintptr(a[1]), uintptr(a[2]), uintptr(a[3]), uintptr(a[4]), uintptr(a[5]))
	} else {
		r, _, errno = syscall.RawSyscall6(uintptr(e.NR), uintptr(a[0]), uintptr(a[1]), uintptr(a[2]), uintptr(a[3]), uintptr(a[4]), uintptr(a[5]))
	}
	if errno != 0 {
		e.Ret = -int64(errno)
		return
	}
	e.Ret = int64(r)
}

// mayBlock reports whether a call can take its thread to sleep: then Go's
// scheduler has to know. What cannot is spared the announcement, which costs
// as much as the crossing itself.
func mayBlock(e *Entry) bool {
	if e.Flags&Prompt != 0 {
		return false
	}
	switch e.NR {
	case unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SENDMMSG, unix.SYS_RECVMMSG:
		return e.Args[3]&unix.MSG_DONTWAIT == 0
	case unix.SYS_SENDMSG:
		return e.Args[2]&unix.MSG_DONTWAIT == 0
	case unix.SYS_CLOSE:
		return e.Args[5] != promptClose
	case unix.SYS_EPOLL_CTL, unix.SYS_SHUTDOWN, unix.SYS_GETPPID:
		return false
	}
	return true
}

// Chain runs entries in order by exec and applies Link. It is the meaning of a
// table, in one place, for every executor that works entry by entry.
func Chain(entries []Entry, exec func(*Entry)) Counts { return chainFrom(entries, 0, exec) }

// chainFrom is Chain of a table whose first entries were run already.
func chainFrom(entries []Entry, first int, exec func(*Entry)) (c Counts) {
	cancel := first > 0 && entries[first-1].breaks()
	for i := first; i < len(entries); i++ {
		e := &entries[i]
		if cancel {
			e.Ret = -int64(unix.ECANCELED)
		} else {
			exec(e)
			if e.NR != Nop {
				c.Crossings++
				c.ByCall[callOf(e.NR)]++
			}
		}
		cancel = e.breaks()
	}
	return c
}

// Harvest fills ev with what its descriptor holds, as its interest says, by
// exec. A harvest that gets nothing leaves ev.Slot at -1.
func Harvest(sh *Shared, ev *Event, exec func(*Entry)) (c Counts) {
	what := sh.InterestOf(ev.FD, ev.Gen)
	if what == HarvestNothing {
		return c
	}
	slot := sh.TakeSlot()
	if slot < 0 {
		return c // none free: the receiver of the event receives by itself
	}
	switch what {
	case HarvestRecv:
		harvestRecv(sh, ev, slot, exec, &c)
	case HarvestAccept:
		harvestAccept(sh, ev, slot, exec, &c)
	case HarvestPackets:
		harvestPackets(sh, ev, slot, exec, &c)
	}
	if ev.Slot < 0 {
		sh.FreeSlot(slot)
	}
	return c
}

func harvestRecv(sh *Shared, ev *Event, slot int32, exec func(*Entry), c *Counts) {
	e := &sh.scratch
	e.Recv(ev.FD, unsafe.Pointer(&sh.Slot(slot)[0]), sh.SlotSize)
	exec(e)
	c.Crossings++
	c.ByCall[CallRecv]++
	ev.received(slot, e.Ret)
}

// received takes in the result of a receive into slot.
func (ev *Event) received(slot int32, ret int64) {
	switch {
	case ret > 0:
		ev.Slot, ev.N = slot, int32(ret)
	case ret == 0:
		ev.EOF = 1
	case ret != -int64(unix.EAGAIN) && ret != -int64(unix.EINTR):
		ev.Err = int32(-ret)
	}
}

// harvestAccept accepts until there is nobody left, an error, or the slot is
// full; N == len of the slot means that more may be waiting.
//
// Whether anybody is left it asks by a poll: accept4 makes a socket and a file before
// it looks, and where there is nobody it unmakes them, which takes ten times as long.
func harvestAccept(sh *Shared, ev *Event, slot int32, exec func(*Entry), c *Counts) {
	e := &sh.scratch
	call := func() int64 {
		exec(e)
		c.CountCall(e)
		return e.Ret
	}
	recs := sh.AcceptedIn(slot, int32(sh.SlotSize/AcceptedSize))
	for int(ev.N) < len(recs) {
		a := &recs[ev.N]
		e.Accept(ev.FD, a)
		if fd := call(); fd >= 0 {
			a.FD = int32(fd)
			ev.Slot = slot
			ev.N++
			if e.Poll(&sh.ready, ev.FD); int(ev.N) == len(recs) || call() == 0 {
				return
			}
			continue // also if the poll has failed: accept4 says why
		}
		switch errno := unix.Errno(-e.Ret); errno {
		case unix.EAGAIN:
			return
		case unix.EINTR, unix.ECONNABORTED:
		default:
			ev.Err = int32(errno)
			return
		}
	}
}

func callOf(nr uint32) Call {
	switch nr {
	case unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SENDMMSG, unix.SYS_WRITE, unix.SYS_WRITEV:
		return CallSend
	case unix.SYS_RECVFROM, unix.SYS_RECVMMSG, unix.SYS_READ, unix.SYS_READV:
		return CallRecv
	case unix.SYS_ACCEPT4:
		return CallAccept
	case unix.SYS_CLOSE:
		return CallClose
	case unix.SYS_SENDFILE:
		return CallSendfile
	case unix.SYS_SHUTDOWN:
		return CallShutdown
	case unix.SYS_EPOLL_CTL:
		return CallEpollCtl
	case unix.SYS_EPOLL_PWAIT:
		return CallEpollWait
	}
	return CallOther
}

// CountCall counts one entry that was run by Call.
func (c *Counts) CountCall(e *Entry) {
	c.Crossings++
	c.ByCall[callOf(e.NR)]++
}
