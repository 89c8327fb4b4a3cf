//go:build linux && (amd64 || arm64)

package conn

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Preemptions are told since a look that is not later than asked for, or the oldest
// that is remembered.
func TestPreemptedSince(t *testing.T) {
	var p preempted
	for i := range int64(len(p.looks)) {
		p.note(100+10*i, i/2) // 0 0 1 1 2 2 …
	}
	last := int64(len(p.looks))/2 - 1
	for _, tt := range []struct {
		name  string
		at, n int64
		want  bool
	}{
		{"at the last look", 250, last, false},
		{"at the last look, and one more", 250, last + 1, true},
		{"after the last look", 999, last, false},
		{"between two looks without any", 245, last, false},
		{"before them", 239, last, true},
		{"the oldest look", 100, 0, false},
		{"before the oldest", 1, 0, false},
		{"before the oldest, and one more", 1, 1, true},
	} {
		if got := p.since(tt.at, tt.n); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Two threads that both want one processor preempt each other, and are counted.
func TestPreemptionsAreCounted(t *testing.T) {
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpus); err != nil {
		t.Fatal(err)
	}
	first := 0
	for !cpus.IsSet(first) {
		first++
	}
	cpus.Zero()
	cpus.Set(first)
	before := countPreemptions()
	done := make(chan error, 2)
	for range cap(done) {
		go func() {
			runtime.LockOSThread() // and not unlocked: the thread ends
			err := unix.SchedSetaffinity(0, &cpus)
			for err == nil && countPreemptions() == before {
			}
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}
