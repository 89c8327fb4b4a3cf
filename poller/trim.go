//go:build linux

package poller

import (
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Trim gives the memory of the slots that are free, but the keep hottest, back to the
// system: they are read as zeros then, and take memory again when they are filled. Not
// while a Tick runs.
func (s *Shared) Trim(keep int) {
	n := int(s.ctl.nfree)
	if n <= keep {
		return
	}
	cold := slices.Clone(s.free[:n-keep])
	slices.Sort(cold)
	for len(cold) > 0 {
		run := 1
		for run < len(cold) && cold[run] == cold[run-1]+1 {
			run++
		}
		s.discard(int(cold[0])*s.SlotSize, int(cold[run-1]+1)*s.SlotSize)
		cold = cold[run:]
	}
}

// discard gives back the pages that lie within slots[from:to].
func (s *Shared) discard(from, to int) {
	page := os.Getpagesize()
	base := int(uintptr(unsafe.Pointer(&s.slots[0])) % uintptr(page))
	from = (base+from+page-1)/page*page - base
	to = (base+to)/page*page - base
	if from < to {
		unix.Madvise(s.slots[from:to], unix.MADV_DONTNEED) // what cannot be given back stays
	}
}
