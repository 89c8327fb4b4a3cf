//go:build linux

package pollertest

import (
	"os"
	"strconv"
	"testing"
)

// NoLeaks fails the test if, when it and all its later clean-ups are done, a
// descriptor is open that was not open now. Not for tests that run in parallel.
func NoLeaks(t testing.TB) {
	t.Helper()
	// Go's own poller opens its descriptors with the first pipe or timer: now.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Close()
	before := descriptors(t)
	t.Cleanup(func() {
		for fd, what := range descriptors(t) {
			if was, ok := before[fd]; !ok || was != what {
				t.Errorf("descriptor %d (%s) was left open", fd, what)
			}
		}
	})
}

// descriptors maps what is open to what it is.
func descriptors(t testing.TB) map[int]string {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	fds := make(map[int]string)
	for _, e := range entries {
		// The descriptor that the directory was read through is gone by now.
		if what, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			fd, _ := strconv.Atoi(e.Name())
			fds[fd] = what
		}
	}
	return fds
}
