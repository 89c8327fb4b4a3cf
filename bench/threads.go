//go:build linux

package main

import (
	"fmt"
	"runtime"
)

// workers is how many threads a server is given that can have any number: as many
// as a Go program takes by itself, so that no side has more than another.
func (c *comparison) workers() int {
	switch {
	case c.placement == pinned:
		return 1
	case c.procs > 0:
		return c.procs
	}
	return runtime.NumCPU()
}

// one is a server that has a single thread, whatever the machine has.
func one(*comparison) int { return 1 }

// loops is esca's, which has a thread for each loop.
func loops(c *comparison) int {
	if c.loops > 0 {
		return min(c.loops, c.workers())
	}
	return c.workers()
}

// threadsOf is how many threads serve at once.
func (s *server) threadsOf(c *comparison) int {
	if s.threads != nil {
		return s.threads(c)
	}
	return c.workers()
}

// Unequal says which sides that were measured have another number of threads than
// the reference, or nothing.
func (o *outcome) Unequal() string {
	text, first := "", o.Sides[0].Threads
	for _, s := range o.Sides {
		if s.Threads == first || s.Threads == 0 || o.row(s.Server) == nil {
			continue
		}
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%s %d", s.Server, s.Threads)
	}
	if text == "" {
		return ""
	}
	return fmt.Sprintf("Not the same number of threads: %s %d, %s. Their rates and latencies are not to be compared.", o.reference(), first, text)
}

// ThreadsOf is what a table says of one side; a report of before did not know.
func (o *outcome) ThreadsOf(server string) string {
	for _, s := range o.Sides {
		if s.Server == server && s.Threads > 0 {
			return fmt.Sprint(s.Threads)
		}
	}
	return "-"
}
