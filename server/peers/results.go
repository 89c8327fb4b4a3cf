//go:build linux

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// results are those of a run, by the full name of a test.
type results struct {
	passed, failed map[string]bool
	output         map[string]string
	counts         [4]int   // of what esca served as it was, and over a bridge, what was left to the original, and what esca dialled
	broken         []string // why processes could not be run
}

func newResults() *results {
	return &results{passed: map[string]bool{}, failed: map[string]bool{}, output: map[string]string{}}
}

// add adds those of another process. A test whose parts are dealt to several has
// failed if it has in one.
func (r *results) add(o *results) {
	maps.Copy(r.passed, o.passed)
	maps.Copy(r.failed, o.failed)
	for name := range r.failed {
		delete(r.passed, name)
	}
	maps.Copy(r.output, o.output)
	for i := range r.counts {
		r.counts[i] += o.counts[i]
	}
	r.broken = append(r.broken, o.broken...)
}

func (r *results) String() string {
	return fmt.Sprintf("%d pass, %d fail", len(r.passed), len(r.failed))
}

// differ are the tests that passed in control and not here, whether they failed, were
// skipped or never came. Of a test and its parts only the smallest are named.
func (r *results) differ(control *results) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(control.passed)) {
		if !r.passed[name] && !r.partFailed(name) && (r.failed[name] || !r.wholeFailed(name)) {
			names = append(names, name)
		}
	}
	return names
}

func (r *results) partFailed(name string) bool {
	for other := range r.failed {
		if strings.HasPrefix(other, name+"/") {
			return true
		}
	}
	return false
}

func (r *results) wholeFailed(name string) bool {
	for {
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return false
		}
		if name = name[:i]; r.failed[name] {
			return true
		}
	}
}
