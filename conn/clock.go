package conn

import "time"

// Times are nanoseconds on the monotonic clock since the process began; zero
// stands for "none".
var clockBase = time.Now().Add(-1)

// clockNow reads the clock.
func clockNow() int64 { return int64(time.Since(clockBase)) }

// clockOf converts t without reading the clock; a zero time is 0.
func clockOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	// What lies before the process began is past, not "none".
	return max(int64(t.Sub(clockBase)), 1)
}
