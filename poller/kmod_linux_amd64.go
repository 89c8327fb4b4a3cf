package poller

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kmodFactory makes backends that have the kernel module of kmodule/ run the table,
// look and harvest, all in one crossing: for x86-64, where the module is loaded.
type kmodFactory struct{}

const kmodDevice = "/dev/esca"

func (kmodFactory) Name() string { return "kmod" }

// Probe registers a small table.
func (kmodFactory) Probe() Probe {
	p := Probe{Name: "kmod"}
	sh, err := NewShared(Config{Entries: 1, Events: 1, Slots: 1, SlotSize: AcceptedSize, Arena: 1, MaxFD: 1})
	if err != nil {
		p.Status, p.Reason = Inconclusive, err.Error()
		return p
	}
	defer sh.Unmap()
	k, err := openKmod(nil, sh)
	if err != nil {
		p.Status, p.Reason = Unavailable, err.Error()
		if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM) {
			p.Status = Inconclusive
		}
		return p
	}
	k.Close()
	return p
}

func (kmodFactory) Open(ep *Epoll, sh *Shared) (Backend, error) {
	k, err := openKmod(ep, sh)
	if err != nil {
		return nil, fmt.Errorf("backend kmod: %w", err)
	}
	return k, nil
}

type kmod struct {
	refusable
	dev    int
	noTime *unix.Timespec // zero: the wait only looks

	ioctl func(first, n int, announced bool) (int, syscall.Errno) // (*kmod).cross; tests have it fail
}

var _ Backend = (*kmod)(nil)

// openKmod makes a context over sh: its pages take the place of those that sh
// begins with.
func openKmod(ep *Epoll, sh *Shared) (k *kmod, err error) {
	dev, err := unix.Open(kmodDevice, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, whyNoDevice(err)
	}
	defer func() {
		if err != nil {
			unix.Close(dev)
		}
	}()
	l := &sh.layout
	reg := &registration{
		ABI: kmodABI, Entries: uint32(len(sh.all)), Events: uint32(len(sh.Events)), Slots: uint32(len(sh.free)), SlotSize: uint32(sh.SlotSize),
		InterestLen: uint32(len(sh.interest)), Interest: uint64(uintptr(unsafe.Pointer(&sh.interest[0]))), SlotBase: uint64(uintptr(unsafe.Pointer(&sh.slots[0]))),
	}
	if _, errno := ioctl(dev, kmodRegister, uintptr(unsafe.Pointer(reg)), true); errno != 0 {
		return nil, whyNotRegistered(errno, reg)
	}
	if missing := reg.missing(); len(missing) > 0 {
		return nil, fmt.Errorf("this kernel does not offer the module %s", strings.Join(missing, ", "))
	}
	if int(reg.MapSize) != l.module || int(reg.EntriesOff) != l.entries || int(reg.EventsOff) != l.events || int(reg.FreeOff) != l.free {
		return nil, fmt.Errorf("the module lays its pages out otherwise (%+v): build and load the one of this version", *reg)
	}
	old := slices.Clone(sh.mem[:l.module])
	_, _, errno := syscall.Syscall6(unix.SYS_MMAP, uintptr(unsafe.Pointer(&sh.mem[0])), uintptr(l.module),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED, uintptr(dev), 0)
	if errno != 0 {
		return nil, fmt.Errorf("map %s: %w", kmodDevice, errno)
	}
	copy(sh.mem, old)
	k = &kmod{refusable: newRefusable(ep, sh), dev: dev, noTime: new(unix.Timespec)}
	k.ioctl = k.cross
	return k, nil
}

// missing names the calls that a loop needs and the kernel does not offer.
func (reg *registration) missing() (names []string) {
	for i, name := range kmodCalls {
		if reg.Features&(1<<i) == 0 && slices.Contains(kmodNeeds, name) {
			names = append(names, name)
		}
	}
	return names
}

func whyNoDevice(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("no %s: the module is not loaded (make kmod-load)", kmodDevice)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("no permission for %s: the user has to be in its group", kmodDevice)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("opening %s is not allowed here", kmodDevice)
	}
	return fmt.Errorf("open %s: %w", kmodDevice, err)
}

func whyNotRegistered(errno syscall.Errno, reg *registration) error {
	switch errno {
	case unix.EPROTO:
		return fmt.Errorf("the module speaks ABI %d, this program %d: build and load the one of this version", reg.ABI, kmodABI)
	case unix.EPERM:
		return errors.New("the process is under seccomp (module parameter allow_seccomp), or something else looks at its calls, which a batch would step around")
	case unix.ENOTTY:
		return fmt.Errorf("%s is not the module's device", kmodDevice)
	case unix.ENOMEM:
		return fmt.Errorf("no memory for the shared pages, or RLIMIT_MEMLOCK is too low: %w", errno)
	}
	return fmt.Errorf("register: %w", errno)
}

func (k *kmod) Close() error { return unix.Close(k.dev) }

func (k *kmod) Run(n int) {
	if k.refused {
		k.direct.Run(n)
		return
	}
	k.run(n, n)
}

// Tick is one crossing, unless a signal comes in between.
func (k *kmod) Tick(n int) (int, error) {
	if k.refused {
		return k.told(k.direct.Tick(n))
	}
	look := &k.sh.all[n]
	was := *look // of a Run before this
	k.recordLook(look)
	k.counts.Ticks++
	whole, ret := k.run(n, n+1), look.Ret
	*look = was
	if !whole {
		return k.told(k.look())
	}
	k.counts.ByCall[CallEpollWait]++
	if ret < 0 { // in vain, and who sees nothing parks
		return k.told(k.look())
	}
	k.counts.ByCall[CallRecv] += uint64(k.sh.ctl.recvs)
	k.counts.ByCall[CallAccept] += uint64(k.sh.ctl.accepts)
	return k.told(k.withoutWake(int(k.sh.ctl.ready)), nil)
}

// run has the module run the table's n entries, and what is recorded behind them up
// to end, and reports whether it has run all that. Which of the table's it has not,
// is called directly.
func (k *kmod) run(n, end int) bool {
	entries := k.sh.all[:n]
	done, err := k.batch(end, mayBlockAny(entries))
	k.entered("kmod", err)
	ran := min(done, n)
	k.count(entries[:ran])
	k.add(chainFrom(entries, ran, execute))
	return done == end
}

// recordLook records the wait of no time that ends a Tick.
func (k *kmod) recordLook(e *Entry) {
	*e = Entry{NR: unix.SYS_EPOLL_PWAIT2, Flags: entryWait}
	e.Args = [6]uint64{uint64(k.ep.FD), uint64(uintptr(unsafe.Pointer(&k.ready[0]))), uint64(len(k.ready)), uint64(uintptr(unsafe.Pointer(k.noTime)))}
}

// batch has the module run the first n entries, and returns how many it has run
// if it refuses to go on.
func (k *kmod) batch(n int, announced bool) (done int, err error) {
	for idle := 0; done < n; {
		ran, errno := k.ioctl(done, n-done, announced)
		switch {
		case errno == unix.EPERM:
			return done, errFiltered
		case errno != 0:
			return done, errno
		case ran == 0:
			// The kernel may have something to do before it looks, and do it on
			// the way out of this; but then it looks.
			if idle++; idle > idleMost {
				return done, errIdle
			}
		default:
			idle = 0
		}
		done += ran
	}
	return done, nil
}

const idleMost = 8

var (
	errFiltered = errors.New("the process has come under seccomp, or something else that looks at its calls")
	errIdle     = errors.New("the module runs nothing")
)

func (k *kmod) cross(first, n int, announced bool) (int, syscall.Errno) {
	k.counts.Crossings++
	return ioctl(k.dev, kmodBatch, batchArg(first, n), announced)
}

// count counts entries that were run.
func (k *kmod) count(entries []Entry) {
	for i := range entries {
		e := &entries[i]
		if e.NR != Nop && e.Ret != -int64(unix.ECANCELED) {
			k.counts.ByCall[callOf(e.NR)]++
		}
	}
}

// withoutWake takes the eventfd's out of the first m events.
func (k *kmod) withoutWake(m int) int {
	evs := k.sh.Events
	for i := range m {
		if evs[i].FD == k.ep.wake {
			return i + copy(evs[i:m], evs[i+1:m])
		}
	}
	return m
}

func mayBlockAny(entries []Entry) bool {
	for i := range entries {
		if mayBlock(&entries[i]) {
			return true
		}
	}
	return false
}
