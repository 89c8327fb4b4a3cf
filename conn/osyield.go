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
// the kernel takes one from us for each yield. So before a park it is tried as long as that
// mostly finds something soon, while busy as long as most tries do not take long, and
// else now and then.
//
// It keeps the P, as a thread does that the kernel interrupts: given away, as in other
// system calls, it has Go's scheduler wake threads that move the loops from processor to
// processor. The price is that whatever wants this P, a goroutine that is queued here or
// the garbage collector, waits for as long as the clients run, and so do results that the
// table has brought. How long that is counts as do the events that are found (others): the
// others have their turn at the next look.
//
// It is the driver's alone.
type osyield struct {
	idle, busy osyieldTries
	events     int           // of ticks since the last try, park, or time that a try was due
	ticks      int           // those
	tried      *osyieldTries // whose try the look under way ends, or nil
	ns         int64         // that it took
}

// osyieldTries are the tries of one kind, and what has come of them.
type osyieldTries struct {
	run  int // tries since the last rest
	miss int // how far those that have found nothing outweigh the others
	long int // how far those that took long do
	rest int // times that a try is due until one is made
	last int // what rest was set to
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
	osyieldRest  = 64        // times that are left out after a run; twice the last, after a shorter one
	osyieldIdle  = 1024      // at the most, where a processor was idle
	osyieldBusy  = 4096      // beside a thread that does not sleep
)

// dueBusy reports whether a driver that is busy is to try it with this tick.
func (y *osyield) dueBusy() bool {
	if y.events < osyieldEvery {
		return false
	}
	few := y.events < osyieldFull*y.ticks
	y.events, y.ticks = 0, 0
	return few && y.busy.due()
}

// letOthersRun is a try. The look that follows ends it.
func (y *osyield) letOthersRun(kind *osyieldTries) {
	began := clockNow()
	_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // it cannot fail
	y.tried, y.ns = kind, clockNow()-began
}

// looked is told what a look has found: m events, or other work, or nothing. It returns
// as how many events the try counts that ends with it.
func (y *osyield) looked(m int, found bool) (waited int) {
	kind := y.tried
	if kind != nil || !found {
		y.events, y.ticks = 0, 0
	} else {
		y.events, y.ticks = y.events+m, y.ticks+1
	}
	if kind == nil {
		return 0
	}
	y.tried = nil
	kind.took(y.ns, found || kind == &y.busy) // that finds what clients elsewhere send, whoever has run
	return int(y.ns / osyieldEvent)
}

// due reports whether a try is made, where one could be.
func (t *osyieldTries) due() bool {
	if t.rest == 0 {
		return true
	}
	t.rest--
	return false
}

// took is told how long a try took, and whether it was of use.
func (t *osyieldTries) took(ns int64, useful bool) {
	t.run++
	switch {
	case ns > osyieldSoon:
		if t.long += osyieldLong; t.long >= 2*osyieldLong {
			t.stop(osyieldBusy)
		}
	case !useful:
		if t.miss += osyieldMiss; t.miss >= osyieldFew {
			t.stop(osyieldIdle)
		}
	default:
		t.miss = max(t.miss-1, -osyieldFew)
		t.long = max(t.long-1, -2*osyieldLong)
	}
}

// stop ends a run of tries.
func (t *osyieldTries) stop(most int) {
	rest := 2 * t.last
	if t.run >= osyieldRun {
		rest = 0
	}
	rest = min(max(rest, osyieldRest), most)
	*t = osyieldTries{rest: rest, last: rest}
}

// countYield counts the try that this look ends, if there is one, as a crossing, and
// reports whether. With the lock.
func (l *loop) countYield() bool {
	if l.osyield.tried == nil {
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
	return l.looks == 1 && l.others.since < giveWayEvery && l.packets == nil && l.osyield.idle.due()
}

// lookAfterYield lets other threads run, and looks again. Called by look, which has
// parked, without the lock; returns what look does.
func (l *loop) lookAfterYield() bool {
	l.osyield.letOthersRun(&l.osyield.idle)
	return l.look()
}

// crossAfterYield runs the table, and lets other threads run before it asks for
// events. Called by cross.
func (l *loop) crossAfterYield() (int, error) {
	if l.table.n > 0 {
		l.be.Run(l.table.n)
	}
	l.osyield.letOthersRun(&l.osyield.busy)
	return l.be.Tick(0)
}
