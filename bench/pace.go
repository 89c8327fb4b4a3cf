//go:build linux

package main

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests that come at a pace show what a server does to whoever comes while it
// stands still: a connection that asks again only when it is answered asks least
// when answers take longest, and many quick ones beside it outnumber it. Their
// time is from when they were due, if it was the server that kept them back.

// noEvents is how long the generator waits for answers at most.
const noEvents = 100 * time.Millisecond

// onSchedule sends the requests of a rate: one on each connection in turn, when it
// is due, or as soon as the one before on that connection is answered. The times
// count from when they were due, whoever it was that kept them back: a server that
// stands still for a while is slow for all that are due meanwhile.
func (g *generator) onSchedule() (result, error) {
	// A wait is to end when it should, and not when it suits other timers, too.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return result{}, fmt.Errorf("timer slack: %w", err)
	}
	g.Pace = time.Duration(g.Conns) * time.Second / time.Duration(g.Rate)
	all := make([]*client, g.Conns)
	for i := range all {
		all[i] = &client{ask: i % len(g.Asks), rests: true}
		if err := g.connect(all[i]); err != nil {
			return result{}, fmt.Errorf("connecting: %w", err)
		}
		g.clients[int32(all[i].fd)] = all[i]
	}
	g.now = time.Now()
	for i, c := range all {
		c.due = g.now.Add(time.Duration(i) * time.Second / time.Duration(g.Rate))
		c.started = c.due
	}
	return g.run()
}

// rest has an answered connection ask when it is due, and at once if it is
// already.
func (g *generator) rest(c *client) {
	c.due = c.due.Add(g.Pace)
	if c.due.After(g.now) {
		c.rests = true
		return
	}
	g.ask(c)
	c.started = c.due
}

// askDue has those that rest ask, if it is time.
func (g *generator) askDue() {
	if g.Pace == 0 {
		return
	}
	for _, c := range g.clients {
		if c.rests && !c.due.After(g.now) {
			c.rests = false
			g.ask(c)
			if g.Rate > 0 {
				c.started = c.due
			}
		}
	}
}

// patience is how long to wait for answers: not past the next request that is
// due.
func (g *generator) patience() time.Duration {
	wait := noEvents
	if g.Pace == 0 {
		return wait
	}
	for _, c := range g.clients {
		if c.rests {
			wait = min(wait, max(0, c.due.Sub(g.now)))
		}
	}
	return wait
}

// waitEvents is epoll_wait to the nanosecond, on kernels that have that (5.11),
// and to the millisecond on others.
func waitEvents(epoll int, events []unix.EpollEvent, d time.Duration) (int, error) {
	wait := unix.NsecToTimespec(d.Nanoseconds())
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(unsafe.Pointer(&wait)), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.ENOSYS, unix.EPERM: // or a container that knows nothing of it
		return unix.EpollWait(epoll, events, int((d+time.Millisecond-1)/time.Millisecond))
	}
	return 0, errno
}

// countWaiting counts how long they have waited that are not answered at the
// end, and those that would have been due meanwhile.
func (g *generator) countWaiting() {
	if g.Pace == 0 {
		return
	}
	for _, c := range g.clients {
		if c.rests {
			continue
		}
		for waited := g.now.Sub(c.started); waited > 0; waited -= g.Pace {
			g.times = append(g.times, waited)
		}
	}
}
