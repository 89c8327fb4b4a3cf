package conn

import "testing"

// The last value of a key is its own; none is nil.
func TestOptionValues(t *testing.T) {
	type key struct{ n int }
	opts := []Option{WithLoops(1), WithValue(key{1}, "a"), WithValue(key{2}, "b"), WithValue(key{1}, "c")}
	for k, want := range map[key]any{{1}: "c", {2}: "b", {3}: nil} {
		if got := Value(k, opts...); got != want {
			t.Errorf("%v: got %v, want %v", k, got, want)
		}
	}
}
