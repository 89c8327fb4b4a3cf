//go:build linux && (amd64 || arm64)

package conn

import (
	"runtime"
	"testing"
)

func TestFindLockWord(t *testing.T) {
	const thread, other = 0xc000100000, 0xc000200000
	words := func(m, lock, x uintptr) *gwords { return &gwords{0: 7, 6: m, 9: 3, 26: lock, 30: x} }
	for _, c := range []struct {
		name                  string
		before, locked, after *gwords
		want                  uintptr
	}{
		{"it stays where it is", words(thread, 0, 0), words(thread, thread, 0), words(thread, 0, 0), 26 * 8},
		{"it comes from another thread", words(other, 0, 0), words(thread, thread, 0), words(thread, 0, 0), 26 * 8},
		{"it goes to another thread", words(thread, 0, 0), words(thread, thread, 0), words(other, 0, 0), 26 * 8},
		{"it was locked before", words(thread, thread, 0), words(thread, thread, 0), words(thread, thread, 0), 0},
		{"there is no such word", words(thread, 0, 0), words(thread, 0, 0), words(thread, 0, 0), 0},
		{"a word becomes something else", words(thread, 0, 0), words(thread, 0, 5), words(thread, 0, 0), 0},
		{"there are two", words(thread, 0, 0), words(thread, thread, thread), words(thread, 0, 0), 0},
	} {
		if got := findLockWord(c.before, c.locked, c.after); got != c.want {
			t.Errorf("%s: %d, not %d", c.name, got, c.want)
		}
	}
}

// This runtime has the word: if it is not found, a handler that leaves its thread locked
// ends the process.
func TestLockWord(t *testing.T) {
	if threadLocked(lockWord()) {
		t.Error("locked, it says, before it is")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if !threadLocked(lockWord()) {
		t.Errorf("not locked, it says; the word is at %d", lockWord())
	}
}
