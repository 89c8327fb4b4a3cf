//go:build linux && (amd64 || arm64)

package conn

import (
	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// osyield is what a driver does before it parks, where that pays: it lets the other
// threads that want its processor run, without going to sleep (sched_yield), and looks
// once more. Where there are more threads than processors, those are the clients, and
// what they send is found by that look. To sleep and be woken instead
// costs Go's scheduler and the kernel several microseconds, more than a request.
//
// It does not pay where a processor is idle, which would only pull the clients away, nor
// beside a thread that never sleeps: that keeps the processor for a time slice, and
// the kernel takes one from us for each yield. So it is tried now and then, and kept up
// while most tries find something soon. It keeps the P, unless Go's monitor comes by, so how
// long it takes counts as do the events it finds (others): the others have their turn
// at the next look.
//
// The driver touches it without the lock, and nobody else does.
type osyield struct {
	run        int   // tries since the last rest
	miss, long int   // how far those that are no good outweigh the others
	rest       int   // parks until it is tried again
	last       int   // what rest was set to
	from       int64 // when the try under way began; 0: none is
}

const (
	osyieldEvent = 4_000     // ns of a try that count as an event
	osyieldMiss  = 2         // tries that outweigh one that has found nothing
	osyieldFew   = 24        // by how many it may be outweighed
	osyieldLong  = 32        // tries that outweigh one that took long
	osyieldSoon  = 2_000_000 // ns: what is longer was no client
	osyieldRun   = 512       // tries of a run that was worth it
	osyieldRest  = 64        // parks, after such a run; twice as many after each other
	osyieldIdle  = 1024      // at the most, where a processor was idle
	osyieldBusy  = 4096      // beside a thread that does not sleep
)

// due reports whether it is tried before this park.
func (y *osyield) due() bool {
	if y.rest == 0 {
		return true
	}
	y.rest--
	return false
}

// took is told how long a try took, and whether it has found something.
func (y *osyield) took(ns int64, found bool) {
	y.run++
	switch {
	case ns > osyieldSoon:
		if y.long += osyieldLong; y.long >= 2*osyieldLong {
			y.stop(osyieldBusy, osyieldBusy)
		}
	case !found:
		if y.miss += osyieldMiss; y.miss >= osyieldFew {
			y.stop(2*y.last, osyieldIdle)
		}
	default:
		y.miss = max(y.miss-1, -osyieldFew)
		y.long = max(y.long-1, -2*osyieldLong)
	}
}

// stop ends a run of tries.
func (y *osyield) stop(parks, most int) {
	if y.run >= osyieldRun {
		parks = 0
	}
	parks = min(max(parks, osyieldRest), most)
	*y = osyield{rest: parks, last: parks, from: y.from}
}

// count adds to what is owed to the others that the try under way has taken, and found m
// events.
func (y *osyield) count(o *others, m int, now int64) {
	if y.from != 0 {
		o.since += 1 + m + int(now-y.from)/osyieldEvent
	}
}

// mayYield reports whether lookAfterYield is to be called before the park that begins:
// not if it is the others' turn, who then have it, nor by a loop of datagrams, which
// receives before it parks (packetFirst). With the lock.
func (l *loop) mayYield() bool {
	if l.looks > 1 || l.others.since >= giveWayEvery || l.packets != nil || !l.osyield.due() {
		return false
	}
	l.stats.calls.Crossings++
	l.stats.calls.ByCall[poller.CallOther]++
	return true
}

// lookAfterYield lets other threads run, and looks again. Called by look, which has
// parked, without the lock; returns what look does.
func (l *loop) lookAfterYield() bool {
	y := &l.osyield
	y.from = l.now
	_, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // it cannot fail
	found := l.look()
	y.took(l.now-y.from, found)
	y.from = 0
	return found
}
