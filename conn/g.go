//go:build linux && (amd64 || arm64)

package conn

import (
	"runtime"
	"sync"
)

// getg returns the identity of the calling goroutine: the address of its
// descriptor, unique while it lives. A Conn needs it to tell the coroutine that
// serves it, which may yield to the loop, from every other goroutine, which may
// not.
func getg() uintptr

// gword returns the word at offset off of the calling goroutine's descriptor.
func gword(off uintptr) uintptr

// lockWord is the offset of the word of a goroutine's descriptor that is
// non-zero while the goroutine is locked to its thread; 0 if it was not found.
//
// The runtime ends the process when a coroutine is switched away from in that
// state and offers no way to ask for it, so the word is found by looking which
// one changes: it is zero, becomes the address of the thread's descriptor, which
// the goroutine also holds elsewhere, and is zero again. If a future runtime
// hides it, a lock left by a handler is the runtime's throw again, nothing else.
var lockWord = sync.OnceValue(func() uintptr {
	found := make(chan uintptr)
	go func() {
		var before, locked, after gwords
		before.take()
		runtime.LockOSThread()
		locked.take()
		runtime.UnlockOSThread()
		after.take()
		found <- findLockWord(&before, &locked, &after)
	}()
	return <-found
})

// gwords are the first words of a goroutine's descriptor, which has more.
type gwords [48]uintptr

func (w *gwords) take() {
	for i := range w {
		w[i] = gword(uintptr(i) * 8)
	}
}

// findLockWord returns lockWord's offset by what the words were before, while and after
// the goroutine was locked. It may have come from another thread before it was locked,
// and gone to another after.
func findLockWord(before, locked, after *gwords) uintptr {
	var off uintptr
	for i, v := range locked {
		if v == 0 || before[i] != 0 || after[i] != 0 {
			continue
		}
		for j, w := range locked {
			if w == v && before[j] != 0 {
				if off != 0 && off != uintptr(i)*8 {
					return 0 // two candidates: not sure
				}
				off = uintptr(i) * 8
			}
		}
	}
	return off
}

// threadLocked reports whether the calling goroutine is locked to its thread.
func threadLocked(word uintptr) bool { return word != 0 && gword(word) != 0 }
