package latency

import (
	"math/rand/v2"
	"testing"
	"time"
)

// upTo is the times 1 to n, in no order.
func upTo(n int) []time.Duration {
	times := make([]time.Duration, n)
	for i, p := range rand.Perm(n) {
		times[i] = time.Duration(p + 1)
	}
	return times
}

func TestOf(t *testing.T) {
	for _, tc := range []struct {
		name  string
		times []time.Duration
		want  Percentiles
	}{
		{"none", nil, Percentiles{}},
		{"one", upTo(1), Percentiles{1, 1, 1, 1, 1}},
		{"two", upTo(2), Percentiles{2, 2, 2, 2, 2}},
		{"ten", upTo(10), Percentiles{6, 10, 10, 10, 10}},
		{"a thousand", upTo(1000), Percentiles{501, 901, 991, 1000, 1000}},
		{"many", upTo(100_000), Percentiles{50_001, 90_001, 99_001, 99_901, 100_000}},
	} {
		if got := Of(tc.times); got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
}
