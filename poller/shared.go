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
	Events   int // most events of one wait; default 256
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

	slots    []byte
	free     []int32  // stack of free slots, the hottest on top
	nfree    uint32   // how many of free are valid
	interest []uint32 // by descriptor: generation<<2 | Interest
	mem      []byte

	scratch Entry // of the harvest: a local one would escape through exec, once an event
}

// NewShared maps the memory for c.
func NewShared(c Config) (*Shared, error) {
	c = c.withDefaults()
	var size int
	part := func(n int) (off int) {
		off = size
		size = (size + n + 4095) &^ 4095
		return off
	}
	entries, events := part(c.Entries*EntrySize), part(c.Events*EventSize)
	arena, slots := part(c.Arena), part(c.Slots*c.SlotSize)
	free, interest := part(c.Slots*4), part(c.MaxFD*4)
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes for a loop's table and slots: %w", size, err)
	}
	s := &Shared{
		Entries:  unsafe.Slice((*Entry)(unsafe.Pointer(&mem[entries])), c.Entries),
		Events:   unsafe.Slice((*Event)(unsafe.Pointer(&mem[events])), c.Events),
		Arena:    mem[arena : arena+c.Arena : arena+c.Arena],
		SlotSize: c.SlotSize,
		slots:    mem[slots : slots+c.Slots*c.SlotSize],
		free:     unsafe.Slice((*int32)(unsafe.Pointer(&mem[free])), c.Slots),
		interest: unsafe.Slice((*uint32)(unsafe.Pointer(&mem[interest])), c.MaxFD),
		mem:      mem,
	}
	for i := range s.free {
		s.free[i] = int32(c.Slots - 1 - i)
	}
	s.nfree = uint32(c.Slots)
	return s, nil
}

// Unmap gives the memory back. Nothing of s may be used after it.
func (s *Shared) Unmap() error { return unix.Munmap(s.mem) }

// Slot returns the memory of slot i.
func (s *Shared) Slot(i int32) []byte {
	off := int(i) * s.SlotSize
	return s.slots[off : off+s.SlotSize : off+s.SlotSize]
}

// TakeSlot takes the most recently freed slot, or returns -1.
func (s *Shared) TakeSlot() int32 {
	if s.nfree == 0 {
		return -1
	}
	s.nfree--
	return s.free[s.nfree]
}

// FreeSlot gives slot i back. Not while a Tick runs: the stack is the backend's then.
func (s *Shared) FreeSlot(i int32) {
	s.free[s.nfree] = i
	s.nfree++
}

// FreeSlots returns how many slots are free.
func (s *Shared) FreeSlots() int { return int(s.nfree) }

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
