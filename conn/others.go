//go:build linux && (amd64 || arm64)

package conn

// others is what a loop owes the rest of its process: goroutines that are
// runnable, and those that wait for Go's netpoller or for a timer.
//
// A driver that parks owes nobody anything. One that always finds something gives
// way after so many events: it wakes its own epoll and parks on it, with what it
// has found in hand. Gosched would not do: it puts the driver into the global
// queue, which Go's scheduler serves before it looks at the netpoller, so a
// goroutine that waits for a database would wait for sysmon, ten milliseconds.
// Parked, the driver is not in any queue, and the look at the netpoller that finds
// it finds them all.
type others struct {
	since   int  // events since the driver last was parked
	owed    bool // it is giving way, with events in hand
	readied bool // the loop itself has made goroutines runnable
}

// giveWayEvery is after how many events: a fraction of a millisecond, at a cost
// of some 2 µs each time.
const giveWayEvery = 128

// are counts m events more, and a look.
func (o *others) are(m int) { o.since += 1 + m }

// turn reports whether it is the others' turn, which then begins.
func (o *others) turn() bool {
	if o.since < giveWayEvery {
		return false
	}
	o.since, o.owed = 0, true
	return true
}
