//go:build linux

package main

import "time"

// Requests that come at a pace show what a server does to whoever comes while it
// stands still: a connection that asks again only when it is answered asks least
// when answers take longest, and many quick ones beside it outnumber it. Their
// time is from when they were due, if it was the server that kept them back.

// noEvents is how many milliseconds the generator waits for answers at most.
const noEvents = 100

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
		}
	}
}

// patience is how many milliseconds to wait for answers: not past the next
// request that is due.
func (g *generator) patience() int {
	if g.Pace == 0 {
		return noEvents
	}
	wait := noEvents * time.Millisecond
	for _, c := range g.clients {
		if c.rests {
			wait = min(wait, max(0, c.due.Sub(g.now)))
		}
	}
	return int((wait + time.Millisecond - 1) / time.Millisecond)
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
