//go:build linux

package main

import "time"

// aMinute is how long a load takes by itself, what it needs built already.
const aMinute = time.Minute

// fit has servers started less often, and then fewer rounds taken, until no
// comparison takes longer than d, or nothing is left to take away.
func (r *runner) fit(chosen []comparison, d time.Duration) {
	long := func() bool {
		for i := range chosen {
			if r.estimate(&chosen[i], 0) > d {
				return true
			}
		}
		return false
	}
	for long() && r.starts > 1 {
		r.starts--
	}
	for long() && r.rounds > 1 {
		r.rounds--
	}
}
