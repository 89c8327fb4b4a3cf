//go:build linux

package poller

import (
	"strings"
	"sync"
	"testing"
	"unsafe"
)

func newShared(t testing.TB, c Config) *Shared {
	t.Helper()
	s, err := NewShared(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Unmap(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSharedSizes(t *testing.T) {
	for _, c := range []struct {
		name                                   string
		config                                 Config
		entries, events, arena, slots, slotLen int
	}{
		{"defaults", Config{}, 256, 256, 256 << 10, 256, 16 << 10},
		{"chosen", Config{Entries: 8, Events: 4, Arena: 8192, Slots: 3, SlotSize: 4096, MaxFD: 100}, 8, 4, 8192, 3, 4096},
		{"odd", Config{Entries: 3, Events: 5, Arena: 100, Slots: 7, SlotSize: 128, MaxFD: 1}, 3, 5, 100, 7, 128},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShared(t, c.config)
			if len(s.Entries) != c.entries || len(s.Events) != c.events || len(s.Arena) != c.arena || s.FreeSlots() != c.slots || s.SlotSize != c.slotLen {
				t.Errorf("%d entries, %d events, %d bytes of arena, %d slots of %d", len(s.Entries), len(s.Events), len(s.Arena), s.FreeSlots(), s.SlotSize)
			}
			page := func(what string, p unsafe.Pointer) {
				if uintptr(p)%4096 != 0 {
					t.Errorf("%s does not begin a page: %p", what, p)
				}
			}
			page("the table", unsafe.Pointer(&s.Entries[0]))
			page("the events", unsafe.Pointer(&s.Events[0]))
			page("the arena", unsafe.Pointer(&s.Arena[0]))
			page("the first slot", unsafe.Pointer(&s.Slot(0)[0]))
			for i := range s.Entries {
				if uintptr(unsafe.Pointer(&s.Entries[i]))%64 != 0 {
					t.Fatalf("entry %d lies across cache lines", i)
				}
			}
		})
	}
}

// Each part is written full with a mark of its own; none may show in another.
func TestSharedPartsAreApart(t *testing.T) {
	s := newShared(t, Config{Entries: 3, Events: 5, Arena: 5000, Slots: 5, SlotSize: 1024, MaxFD: 50})
	parts := map[string][]byte{
		"arena":   s.Arena,
		"entries": unsafe.Slice((*byte)(unsafe.Pointer(&s.Entries[0])), 3*entrySize),
		"events":  unsafe.Slice((*byte)(unsafe.Pointer(&s.Events[0])), 5*eventSize),
	}
	for i := range int32(5) {
		parts["slot "+string('0'+i)] = s.Slot(i)
	}
	for fd := range int32(50) {
		s.SetInterest(fd, uint32(fd), HarvestRecv)
	}
	mark := map[string]byte{}
	for name, p := range parts {
		mark[name] = byte(len(mark) + 1)
		for i := range p {
			p[i] = mark[name]
		}
	}
	for name, p := range parts {
		if cap(p) != len(p) {
			t.Errorf("%s: appending to it would write behind it", name)
		}
		for i, b := range p {
			if b != mark[name] {
				t.Fatalf("%s: byte %d belongs to another part too", name, i)
			}
		}
	}
	for fd := range int32(50) {
		if s.InterestOf(fd, uint32(fd)) != HarvestRecv {
			t.Errorf("the interest of descriptor %d is overwritten", fd)
		}
	}
	seen := map[int32]bool{}
	for range 5 {
		i := s.TakeSlot()
		if i < 0 || i > 4 || seen[i] {
			t.Errorf("slot %d", i)
		}
		seen[i] = true
	}
}

func TestSharedTooLarge(t *testing.T) {
	_, err := NewShared(Config{Slots: 1 << 30, SlotSize: 1 << 30, MaxFD: 1})
	if err == nil || !strings.Contains(err.Error(), "slots") {
		t.Errorf("%v does not say what the memory is for", err)
	}
}

func TestSlotsLIFO(t *testing.T) {
	s := newShared(t, Config{Slots: 3, SlotSize: 128})
	for i := range int32(3) {
		if got := s.TakeSlot(); got != i {
			t.Errorf("slot %d, want %d: the lowest memory first", got, i)
		}
	}
	for range 2 {
		if got := s.TakeSlot(); got != -1 {
			t.Errorf("slot %d, and none was free", got)
		}
	}
	for _, i := range []int32{1, 0, 2} {
		s.FreeSlot(i)
	}
	if n := s.FreeSlots(); n != 3 {
		t.Errorf("%d free", n)
	}
	for _, want := range []int32{2, 0, 1} {
		if got := s.TakeSlot(); got != want {
			t.Errorf("slot %d, want %d: the one freed last is in the cache", got, want)
		}
	}
}

func TestInterest(t *testing.T) {
	const max = 100
	for _, c := range []struct {
		name     string
		fd       int32
		set, ask uint32 // generations
		want     Interest
	}{
		{"same life", 5, 1, 1, HarvestRecv},
		{"a later life", 5, 1, 2, HarvestNothing},
		{"an earlier life", 5, 2, 1, HarvestNothing},
		{"the largest generation", 5, GenMask, GenMask, HarvestRecv},
		{"beyond the largest", 5, GenMask + 8, 7, HarvestRecv},
		{"asked beyond the largest", 5, 7, GenMask + 8, HarvestRecv},
		{"the last descriptor", max - 1, 1, 1, HarvestRecv},
		{"behind the last descriptor", max, 1, 1, HarvestNothing},
		{"far behind", 1 << 30, 1, 1, HarvestNothing},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShared(t, Config{MaxFD: max})
			if got := s.InterestOf(c.fd, c.ask); got != HarvestNothing {
				t.Errorf("%d before anything was said", got)
			}
			s.SetInterest(c.fd, c.set, HarvestRecv)
			if got := s.InterestOf(c.fd, c.ask); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
			s.SetInterest(c.fd, c.set, HarvestNothing)
			if got := s.InterestOf(c.fd, c.ask); got != HarvestNothing {
				t.Errorf("%d after it was taken back", got)
			}
		})
	}
}

func TestInterestAtAnyTime(t *testing.T) {
	s := newShared(t, Config{MaxFD: 10})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range uint32(1000) {
			s.SetInterest(3, i, HarvestRecv)
		}
	})
	for i := range uint32(1000) {
		if got := s.InterestOf(3, i); got > HarvestAccept {
			t.Fatal(got)
		}
	}
	wg.Wait()
}
