//go:build linux && (amd64 || arm64)

package conn

import (
	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// osyield is what a driver does so that the other threads that want its processor get
// it (sched_yield), where that pays. Where there are more threads than processors, those
// are the clients, or what else works for them on the same machine.
//
// Before it parks: what they send is found by one more look. To sleep and be woken
// instead costs Go's scheduler and the kernel several microseconds, more than a request.
//
// While it is busy, but with few events in each tick: those come from clients on
// other processors, one by one, while the clients on its own wait until the kernel takes
// the processor away, milliseconds. Let through, they send all they have, and a
// tick has several times the events. With 50 connections, and where the kernel follows,
// that saves up to a third of a request's CPU time and nine tenths of the slowest
// hundredth's. Where ticks are full it would save nothing.
//
// It does not pay where a processor is idle, which would only pull the clients away, nor
// beside a thread that never sleeps: that keeps the processor for a time slice, and
// the kernel takes one from us for each yield. So it is tried now and then, and kept up
// while most tries find something soon.
//
// It keeps the P, as a thread does that the kernel has interrupted: given away, as in other
// system calls, it has Go's scheduler wake threads that move the loops from processor to
// processor. So how long it takes counts as do the events it finds (others): the
// others have their turn at the next look.
//
// The driver touches it without the lock, and nobody else does.
type osyield struct {
	events int   // since the driver last yielded or parked
	ticks  int   // the same
	run    int   // tries since the last rest
	miss   int   // how far those that have found nothing outweigh the others
	long   int   // how far those that took long do
	rest   int   // times that it would be due until it is tried again
	last   int   // what rest was set to
	from   int64 // when the try under way began; 0: none is
}

const (
	osyieldEvery = 48        // events, until a busy driver yields
	osyieldFull  = 48        // events a tick with which it does not
	osyieldEvent = 4_000     // ns of a try that count as an event
	osyieldMiss  = 2         // tries that outweigh one that has found nothing
	osyieldFew   = 24        // by how many it may be outweighed
	osyieldLong  = 32        // tries that outweigh one that took long
	osyieldSoon  = 2_000_000 // ns: what is longer was no client
	osyieldRun   = 512       // tries of a run that was worth it
	osyieldRest  = 64        // times it is left out after such a run; twice as many after each other
	osyieldIdle  = 1024      // at the most, where a processor was idle
	osyieldBusy  = 4096      // beside a thread that does not sleep
)

// busy reports whether a driver that is, is to try it with this tick.
func (y *osyield) busy() bool {
	if y.events < osyieldEvery {
		return false
	}
	few := y.events < osyieldFull*y.ticks
	y.events, y.ticks = 0, 0
	return few && y.due()
}

// due reports whether it is tried, where it could be.
func (y *osyield) due() bool {
	if y.rest == 0 {
		return true
	}
	y.rest--
	return false
}

// looked is told what a look has found: m events, or other work, or nothing. It returns
// as how many events the try counts that ends with it.
func (y *osyield) looked(now int64, m int, found bool) (waited int) {
	tried := y.from != 0
	if tried || !found {
		y.events, y.ticks = 0, 0
	} else {
		y.events, y.ticks = y.events+m, y.ticks+1
	}
	if !tried {
		return 0
	}
	ns := now - y.from
	y.from = 0
	y.took(ns, found)
	return int(ns / osyieldEvent)
}

// took is told how long a try took, and whether something was found behind it.
func (y *osyield) took(ns int64, found bool) {
	y.run++
	switch {
	case ns > osyieldSoon:
		if y.long += osyieldLong; y.long >= 2*osyieldLong {
			y.stop(2*y.last, osyieldBusy)
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
func (y *osyield) stop(rest, most int) {
	if y.run >= osyieldRun {
		rest = 0
	}
	rest = min(max(rest, osyieldRest), most)
	*y = osyield{rest: rest, last: rest}
}

// letOthersRun begins a try. The look that follows ends it.
func (y *osyield) letOthersRun(now int64) {
	y.from = now
	_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // it cannot fail
}

// countYield counts the try under way as a crossing, and reports whether there is one.
// With the lock.
func (l *loop) countYield() bool {
	if l.osyield.from == 0 {
		return false
	}
	l.stats.calls.Crossings++
	l.stats.calls.ByCall[poller.CallOther]++
	return true
}

// mayYield reports whether lookAfterYield is to be called before the park that begins:
// not if it is the others' turn, who then have it, nor by a loop of datagrams, which
// receives before it parks (packetFirst). With the lock.
func (l *loop) mayYield() bool {
	return l.looks == 1 && l.others.since < giveWayEvery && l.packets == nil && l.osyield.due()
}

// lookAfterYield lets other threads run, and looks again. Called by look, which has
// parked, without the lock; returns what look does.
func (l *loop) lookAfterYield() bool {
	l.osyield.letOthersRun(l.now)
	return l.look()
}

// crossAfterYield runs the table, and lets other threads run before it asks for
// events. Called by cross.
func (l *loop) crossAfterYield() (int, error) {
	l.be.Run(l.table.n)
	l.osyield.letOthersRun(clockNow())
	return l.be.Tick(0)
}
