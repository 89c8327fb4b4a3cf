//go:build linux

package poller

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Config sizes the memory of one loop. Zero fields take the default.
type Config struct {
	Entries  int // table capacity; default 256
	Events   int // most events of one Tick; default 256, at least 2
	Slots    int // receive slots; default 256
	SlotSize int // bytes of a receive slot; default 16 KiB
	Arena    int // bytes of the write arena; default 256 KiB
	MaxFD    int // descriptors that can be harvested; default the process's limit, at most 1 Mi
}

func (c Config) withDefaults() Config {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	def(&c.Entries, 256)
	def(&c.Events, 256)
	c.Events = max(c.Events, 2) // a wake takes one, and a Tick that reports none has left none
	def(&c.Slots, 256)
	def(&c.SlotSize, 16<<10)
	def(&c.Arena, 256<<10)
	if c.MaxFD == 0 {
		var lim unix.Rlimit
		c.MaxFD = 1 << 20
		if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) == nil && lim.Cur < 1<<20 {
			c.MaxFD = int(lim.Cur)
		}
	}
	return c
}

// Interest tells the harvest what to do with a descriptor that is ready.
type Interest uint32

// What a harvest can do.
const (
	HarvestNothing Interest = iota // report the event only
	HarvestRecv                    // receive once, into a slot
	HarvestAccept                  // accept until there is none, into a slot of Accepted
)

// GenMask bounds a generation: 30 bits, so that it shares a word with Interest.
const GenMask = 1<<30 - 1

// Shared is the memory that a loop and its backend both work on: mapped, never
// moved, never part of Go's heap. While a backend's Tick runs, the backend owns
// Events, the slots that are free, and the entries it was given; Interest words
// may change at any time.
type Shared struct {
	Entries  []Entry
	Events   []Event
	Arena    []byte
	SlotSize int

	ctl      *control
	all      []Entry // Entries, and behind them room for one of a backend's own
	slots    []byte
	free     []int32  // stack of free slots, the hottest on top
	interest []uint32 // by descriptor: generation<<2 | Interest
	mem      []byte
	layout   layout

	scratch Entry     // of the harvest: a local one would escape through exec, once an event
	ready   Readiness // and what it polls
}

// control stands first in the shared memory (struct esca_ctl in kmodule/esca.h).
type control struct {
	nfree   uint32 // how many of free are valid
	ready   uint32 // what follows is of the last batch: events,
	recvs   uint32 // and what the harvest called
	accepts uint32
}

// layout is where the parts are, each on a page of its own. What the kernel
// module has pages for comes first, in its order.
type layout struct {
	entries, events, free, module int // module: where its pages end
	arena, slots, interest, size  int
}

func (c Config) layout() (l layout) {
	part := func(n int) (off int) {
		off = l.size
		l.size = (l.size + n + 4095) &^ 4095
		return off
	}
	part(int(unsafe.Sizeof(control{})))
	l.entries, l.events, l.free = part((c.Entries+1)*entrySize), part(c.Events*eventSize), part(c.Slots*4)
	l.module = l.size
	l.arena, l.slots, l.interest = part(c.Arena), part(c.Slots*c.SlotSize), part(c.MaxFD*4)
	return l
}

// NewShared maps the memory for c.
func NewShared(c Config) (*Shared, error) {
	c = c.withDefaults()
	l := c.layout()
	size := l.size
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes for a loop's table and slots: %w", size, err)
	}
	s := &Shared{
		Events:   unsafe.Slice((*Event)(unsafe.Pointer(&mem[l.events])), c.Events),
		Arena:    mem[l.arena : l.arena+c.Arena : l.arena+c.Arena],
		SlotSize: c.SlotSize,
		ctl:      (*control)(unsafe.Pointer(&mem[0])),
		all:      unsafe.Slice((*Entry)(unsafe.Pointer(&mem[l.entries])), c.Entries+1),
		slots:    mem[l.slots : l.slots+c.Slots*c.SlotSize],
		free:     unsafe.Slice((*int32)(unsafe.Pointer(&mem[l.free])), c.Slots),
		interest: unsafe.Slice((*uint32)(unsafe.Pointer(&mem[l.interest])), c.MaxFD),
		mem:      mem,
		layout:   l,
	}
	s.Entries = s.all[:c.Entries:c.Entries]
	for i := range s.free {
		s.free[i] = int32(c.Slots - 1 - i)
	}
	s.ctl.nfree = uint32(c.Slots)
	return s, nil
}

// Unmap gives the memory back. Nothing of s may be used after it.
func (s *Shared) Unmap() error { return unix.Munmap(s.mem) }

// Slot returns the memory of slot i.
func (s *Shared) Slot(i int32) []byte {
	off := int(i) * s.SlotSize
	return s.slots[off : off+s.SlotSize : off+s.SlotSize]
}

// SlotAt returns the slot whose first byte is at addr, as an entry's argument has it.
func (s *Shared) SlotAt(addr uint64) int32 {
	return int32((uintptr(addr) - uintptr(unsafe.Pointer(&s.Slot(0)[0]))) / uintptr(s.SlotSize))
}

// TakeSlot takes the most recently freed slot, or returns -1.
func (s *Shared) TakeSlot() int32 {
	if s.ctl.nfree == 0 {
		return -1
	}
	s.ctl.nfree--
	return s.free[s.ctl.nfree]
}

// FreeSlot gives slot i back. Not while a Tick runs: the stack is the backend's then.
func (s *Shared) FreeSlot(i int32) {
	s.free[s.ctl.nfree] = i
	s.ctl.nfree++
}

// FreeSlots returns how many slots are free.
func (s *Shared) FreeSlots() int { return int(s.ctl.nfree) }

// SetInterest says what the harvest does when fd, in its life gen, is ready. A
// descriptor beyond Config.MaxFD is only ever reported. Safe at any time.
func (s *Shared) SetInterest(fd int32, gen uint32, what Interest) {
	if int(fd) < len(s.interest) {
		atomic.StoreUint32(&s.interest[fd], gen<<2|uint32(what))
	}
}

// InterestOf returns what SetInterest said of fd, if it was said of its life gen.
func (s *Shared) InterestOf(fd int32, gen uint32) Interest {
	if int(fd) >= len(s.interest) {
		return HarvestNothing
	}
	v := atomic.LoadUint32(&s.interest[fd])
	if v>>2 != gen&GenMask {
		return HarvestNothing
	}
	return Interest(v & 3)
}

// addrOf is where b begins.
func addrOf(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }
