//go:build !linux

package main

import "time"

// wholeAnswer is the limit on a whole answer, as progress is not to be seen here.
func wholeAnswer(stalled time.Duration) time.Duration { return stalled }
