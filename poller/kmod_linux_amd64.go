package poller

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Kmod has the kernel module of kmodule/ run the table, wait and harvest, all
// in one crossing: for x86-64, where the module is loaded.
var Kmod Factory = kmodFactory{}

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
	dev    int
	ep     *Epoll
	sh     *Shared
	ready  []unix.EpollEvent // where the kernel puts what its wait reports
	until  *unix.Timespec
	lost   *direct // runs the table since the module has refused to
	counts Counts
}

var _ Backend = (*kmod)(nil)

// openKmod makes a context over sh: its pages take the place of those that sh
// begins with.
func openKmod(ep *Epoll, sh *Shared) (_ *kmod, err error) {
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
	return &kmod{dev: dev, ep: ep, sh: sh, ready: make([]unix.EpollEvent, len(sh.Events)), until: new(unix.Timespec)}, nil
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
		return errors.New("the process is under seccomp, which a batch would step around (module parameter allow_seccomp)")
	case unix.ENOTTY:
		return fmt.Errorf("%s is not the module's device", kmodDevice)
	case unix.ENOMEM:
		return fmt.Errorf("no memory for the shared pages, or RLIMIT_MEMLOCK is too low: %w", errno)
	}
	return fmt.Errorf("register: %w", errno)
}

func (k *kmod) Counts() *Counts { return &k.counts }
func (k *kmod) Call(e *Entry)   { Exec(e) }
func (k *kmod) Close() error    { return unix.Close(k.dev) }

func (k *kmod) Run(n int) {
	if k.lost != nil {
		k.lost.Run(n)
		k.counts = k.lost.counts
		return
	}
	if done, err := k.batch(n, mayBlockAny(k.sh.Entries[:n])); err != nil {
		k.goOnDirect(done, n)
	}
	k.count(k.sh.Entries[:n])
}

// Tick is one crossing, unless a signal comes in between.
func (k *kmod) Tick(n int, timeout time.Duration) (int, error) {
	if k.lost != nil {
		m, err := k.lost.Tick(n, timeout)
		k.counts = k.lost.counts
		return m, err
	}
	entries := k.sh.all[:n+1]
	announced := timeout < 0 || timeout > ShortWait || mayBlockAny(entries[:n])
	k.recordWait(&entries[n], timeout)
	done, err := k.batch(n+1, announced)
	k.counts.Ticks++
	if err != nil {
		return k.tickOnDirect(done, n, timeout, err)
	}
	k.count(entries[:n])
	k.counts.ByCall[CallEpollWait]++
	k.counts.ByCall[CallRecv] += uint64(k.sh.ctl.recvs)
	k.counts.ByCall[CallAccept] += uint64(k.sh.ctl.accepts)
	if ret := entries[n].Ret; ret < 0 && ret != -int64(unix.EINTR) {
		return 0, syscall.Errno(-ret)
	}
	return k.withoutWake(int(k.sh.ctl.ready)), nil
}

// recordWait records the wait that ends a Tick.
func (k *kmod) recordWait(e *Entry, timeout time.Duration) {
	*e = Entry{NR: unix.SYS_EPOLL_PWAIT2, Flags: entryWait}
	e.Args = [6]uint64{uint64(k.ep.FD), uint64(uintptr(unsafe.Pointer(&k.ready[0]))), uint64(len(k.ready))}
	if timeout >= 0 {
		*k.until = unix.NsecToTimespec(int64(timeout))
		e.Args[3] = uint64(uintptr(unsafe.Pointer(k.until)))
	}
}

// batch has the module run the first n entries, and returns how many it has run
// if it refuses to go on.
func (k *kmod) batch(n int, announced bool) (done int, err error) {
	for done < n {
		ran, errno := ioctl(k.dev, kmodBatch, batchArg(done, n-done), announced)
		k.counts.Crossings++
		if errno != 0 {
			return done, errno
		}
		if done += ran; done < n && !Settled(k.sh.all[:done]) {
			// The module sees only the part that it is given, and this has
			// something to see to. A table without a wait has no use for it.
			*k.until = unix.Timespec{}
			k.sh.all[n-1].Args[3] = k.lookOnly(&k.sh.all[n-1])
		}
	}
	return done, nil
}

// lookOnly is the Args[3] with which e, if it is a wait, does not sleep.
func (k *kmod) lookOnly(e *Entry) uint64 {
	if e.Flags&entryWait == 0 {
		return e.Args[3]
	}
	return uint64(uintptr(unsafe.Pointer(k.until)))
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

// goOnDirect runs what the module has refused, here and from now on.
func (k *kmod) goOnDirect(done, n int) {
	k.lost = &direct{ep: k.ep, sh: k.sh, ready: k.ready, counts: k.counts}
	k.lost.add(chainFrom(k.sh.Entries[:n], done, Exec))
	k.counts = k.lost.counts
}

func (k *kmod) tickOnDirect(done, n int, timeout time.Duration, why error) (int, error) {
	if errors.Is(why, unix.EPERM) {
		why = errors.New("the process has come under seccomp")
	}
	why = fmt.Errorf("backend kmod is refused (%w): backend direct from now on", why)
	k.goOnDirect(min(done, n), n)
	k.count(k.sh.Entries[:done])
	if timeout != 0 && !Settled(k.sh.Entries[:n]) {
		timeout = 0
	}
	m, err := k.lost.look(timeout)
	k.counts = k.lost.counts
	return m, errors.Join(why, err)
}

func mayBlockAny(entries []Entry) bool {
	for i := range entries {
		if mayBlock(&entries[i]) {
			return true
		}
	}
	return false
}
