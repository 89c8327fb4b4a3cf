//go:build linux

package poller

import (
	"bytes"
	"slices"
	"testing"
)

// Trim gives back the free slots but the hottest; what is in use stays, whole pages or not.
func TestTrim(t *testing.T) {
	for _, size := range []int{16 << 10, 4096, 6000} {
		s, err := NewShared(Config{Slots: 16, SlotSize: size})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Unmap()
		var taken []int32
		for range 16 {
			i := s.TakeSlot()
			for b := s.Slot(i); len(b) > 0; b = b[1:] {
				b[0] = byte(i + 1)
			}
			taken = append(taken, i)
		}
		free := taken[4:]
		for _, i := range free {
			s.FreeSlot(i)
		}
		hot := free[len(free)-3:]
		s.Trim(3)
		whole, zeros := func(i int32) []byte { return bytes.Repeat([]byte{byte(i + 1)}, size) }, 0
		for i := range int32(16) {
			kept := slices.Contains(taken[:4], i) || slices.Contains(hot, i)
			if kept && !bytes.Equal(s.Slot(i), whole(i)) {
				t.Errorf("size %d: slot %d has lost what is in it", size, i)
			}
			if !kept {
				zeros += bytes.Count(s.Slot(i), []byte{0})
			}
		}
		if least := (9*size/4096 - 4) * 4096; zeros < least {
			t.Errorf("size %d: %d bytes were given back, want %d", size, zeros, least)
		}
		s.Trim(3)
		if n := s.FreeSlots(); n != 12 {
			t.Errorf("%d slots are free", n)
		}
		if got := s.TakeSlot(); got != free[len(free)-1] {
			t.Errorf("the hottest slot is %d, not %d", free[len(free)-1], got)
		}
	}
}
