//go:build linux && (amd64 || arm64)

package conn

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// preempted tells handlers that take long from those that were not let run: where
// there is more to run than there are processors, a thread loses its own for some
// milliseconds wherever it happens to be, and a server's is inside a handler for much
// of its time. The kernel counts how often threads of the process lost one that they
// could have used; a handler that waits gives its own up, and is not counted.
//
// It is of the process as a whole, so a count that has grown is a reason to doubt and
// no more. Counts are remembered of the watcher's last looks.
type preempted struct {
	mu    sync.Mutex // taken behind all others
	looks [16]preemptions
	last  int // index of the latest
}

// preemptions is how many there had been at a time.
type preemptions struct{ at, n int64 }

// countPreemptions asks the kernel. A microsecond at the most.
func countPreemptions() int64 {
	var u unix.Rusage
	unix.RawSyscall(unix.SYS_GETRUSAGE, unix.RUSAGE_SELF, uintptr(unsafe.Pointer(&u)), 0)
	return u.Nivcsw
}

// note remembers that there had been n by now.
func (p *preempted) note(now, n int64) {
	p.mu.Lock()
	p.last = (p.last + 1) % len(p.looks)
	p.looks[p.last] = preemptions{now, n}
	p.mu.Unlock()
}

// since reports whether there have been any since at, or a look before it, now that
// there have been n.
func (p *preempted) since(at, n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.looks {
		l := &p.looks[(p.last-i+len(p.looks))%len(p.looks)]
		if l.at <= at || i == len(p.looks)-1 { // or the oldest that is known
			return n > l.n
		}
	}
	return false
}
