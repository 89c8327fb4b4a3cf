//go:build linux

package faulty

import (
	"bufio"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// backend runs the tables itself, entry by entry through the inner backend's
// Call, and harvests itself. The inner backend looks, over memory of its own in
// which no descriptor has an interest: so it reports events and takes nothing.
type backend struct {
	f     *Factory
	index uint64
	ep    *poller.Epoll
	sh    *poller.Shared
	own   *poller.Shared
	inner poller.Backend

	ran    poller.Counts // by this backend; the inner one counts its looks
	counts poller.Counts

	// mu protects what follows, and the registrations: between reading one and
	// making it anew nobody changes it, or gives its number away.
	mu      sync.Mutex
	driver  *dice
	callers *dice
	dead    map[uint64]bool // connections that were reset, by socket cookie
	late    map[int32]bool  // descriptors whose last event was withheld
}

// Open opens an inner backend and wraps it.
func (f *Factory) Open(ep *poller.Epoll, sh *poller.Shared) (poller.Backend, error) {
	own, err := poller.NewShared(poller.Config{Entries: 1, Events: len(sh.Events), Slots: 1, SlotSize: poller.AcceptedSize, Arena: 1, MaxFD: 1})
	if err != nil {
		return nil, err
	}
	inner, err := f.inner.Open(ep, own)
	if err != nil {
		own.Unmap()
		return nil, err
	}
	f.mu.Lock()
	index := f.opened
	f.opened++
	f.mu.Unlock()
	return &backend{
		f: f, index: index, ep: ep, sh: sh, own: own, inner: inner,
		driver: newDice(f.seed, 2*index), callers: newDice(f.seed, 2*index+1),
		dead: make(map[uint64]bool), late: make(map[int32]bool),
	}, nil
}

func (b *backend) Counts() *poller.Counts { return &b.counts }

func (b *backend) Close() error {
	err := b.inner.Close()
	b.own.Unmap()
	return err
}

func (b *backend) Call(e *poller.Entry) { b.exec(e, b.callers, false) }

func (b *backend) Run(n int) {
	c := poller.Chain(b.sh.Entries[:n], func(e *poller.Entry) { b.exec(e, b.driver, false) })
	b.ran.Add(&c)
	b.count()
}

func (b *backend) Tick(n int) (int, error) {
	b.Run(n)
	m, err := b.inner.Tick(0)
	defer b.count()
	out := 0
	for _, ev := range b.own.Events[:m] {
		if !b.withhold(&ev) {
			b.sh.Events[out] = ev
			out++
		}
	}
	b.shuffle(b.sh.Events[:out])
	for i := range out {
		if ev := &b.sh.Events[i]; ev.Mask != unix.EPOLLOUT {
			b.harvest(ev)
		}
	}
	return out, err // as the inner one has it: the results are valid all the same
}

func (b *backend) count() {
	b.counts = b.ran
	b.counts.Add(b.inner.Counts())
}

// harvest harvests ev, perhaps only a part of what is there.
func (b *backend) harvest(ev *poller.Event) {
	short := false
	c := poller.Harvest(b.sh, ev, func(e *poller.Entry) {
		switch {
		case ev.Mask&(unix.EPOLLERR|unix.EPOLLHUP) != 0:
		case e.NR == unix.SYS_RECVFROM:
			short = b.shortRecv(e)
		case e.NR == unix.SYS_RECVMMSG:
			short = b.fewPackets(e)
		}
		if !short {
			b.exec(e, b.driver, true)
		}
	})
	b.ran.Add(&c)
	if short && ev.Slot >= 0 {
		// Who sees the end announced and a slot that is not full may take it
		// that the end follows at once; the rest brings it again.
		ev.Mask &^= unix.EPOLLRDHUP
	}
}

// shortRecv executes a receive with less room than it has, if that is to be,
// and has the rest reported as a change of its own.
func (b *backend) shortRecv(e *poller.Entry) bool {
	fd, room := int32(e.Args[0]), e.Args[2]
	b.mu.Lock()
	defer b.mu.Unlock()
	if room < 2 || len(b.dead) > 0 && b.isDead(fd) || !b.driver.chance(b.f.rates.ShortRecv) {
		return false
	}
	waiting, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
	if err != nil || waiting < 2 {
		return false // nothing that could be cut in two
	}
	e.Args[2] = b.driver.part(min(room, uint64(waiting)))
	b.inner.Call(e)
	b.note("harvest from %d: %d of %d bytes", fd, e.Ret, waiting)
	b.again(fd, 0)
	return true
}

// withhold has ev reported a Tick later, if that is to be, and once only.
func (b *backend) withhold(ev *poller.Event) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.late[ev.FD] {
		delete(b.late, ev.FD)
		return false
	}
	if !b.driver.chance(b.f.rates.Withhold) || !b.again(ev.FD, 0) {
		return false
	}
	b.late[ev.FD] = true
	b.note("event of %d (%#x): withheld", ev.FD, ev.Mask)
	return true
}

func (b *backend) shuffle(evs []poller.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(evs) > 1 && b.driver.chance(b.f.rates.Shuffle) {
		b.driver.Shuffle(len(evs), func(i, j int) { evs[i], evs[j] = evs[j], evs[i] })
		b.note("%d events: shuffled", len(evs))
	}
}

// again has the kernel report fd once more, with a coming Tick, and not without an
// edge for who parks: by registering it anew, as it is, provided its mask has all of need. With
// b.mu held.
func (b *backend) again(fd int32, need uint32) bool {
	ev, ok := b.registered(fd)
	return ok && ev.Events&need == need && unix.EpollCtl(int(b.ep.FD), unix.EPOLL_CTL_MOD, int(fd), &ev) == nil
}

// registered is what fd is registered with: the kernel's own word for it, since
// not every registration goes through this backend.
func (b *backend) registered(fd int32) (ev unix.EpollEvent, ok bool) {
	f, err := os.Open(fmt.Sprintf("/proc/self/fdinfo/%d", b.ep.FD))
	if err != nil {
		return ev, false
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var tfd int32
		var data uint64
		if n, _ := fmt.Sscanf(s.Text(), "tfd: %d events: %x data: %x", &tfd, &ev.Events, &data); n == 3 && tfd == fd {
			poller.EventData(&ev, int32(uint32(data)), uint32(data>>32))
			return ev, true
		}
	}
	return ev, false
}

func (b *backend) note(format string, args ...any) {
	b.f.note("loop %d: %s", b.index, fmt.Sprintf(format, args...))
}

// msghdr is what the header of a sendmsg entry is.
func msghdr(e *poller.Entry) *unix.Msghdr { return *(**unix.Msghdr)(unsafe.Pointer(&e.Args[1])) }
