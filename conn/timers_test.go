//go:build linux && (amd64 || arm64)

package conn

import (
	"math/rand/v2"
	"testing"
)

// The heap against a model: setting moves a timer forward only, removing takes it
// out, and the first is always the earliest.
func TestTimersAgainstAModel(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 3))
		var ts timers
		all := make([]timer, 1+r.IntN(40))
		model := map[*timer]int64{}
		for range 2000 {
			tm := &all[r.IntN(len(all))]
			switch r.IntN(4) {
			case 0:
				ts.remove(tm)
				delete(model, tm)
			case 1: // the earliest fires
				if first := ts.first(); first != 0 {
					tm = ts.heap[0]
					if model[tm] != first {
						t.Fatalf("seed %d: the first is at %d, and should be at %d", seed, first, model[tm])
					}
					ts.remove(tm)
					delete(model, tm)
				}
			default:
				at := 1 + r.Int64N(1000)
				ts.set(tm, at)
				if old, ok := model[tm]; !ok || at < old {
					model[tm] = at
				}
			}
			earliest := int64(0)
			for _, at := range model {
				if earliest == 0 || at < earliest {
					earliest = at
				}
			}
			if got := ts.first(); got != earliest || len(ts.heap) != len(model) {
				t.Fatalf("seed %d: first %d of %d, want %d of %d", seed, got, len(ts.heap), earliest, len(model))
			}
			for i, tm := range ts.heap {
				if int(tm.i) != i+1 || tm.at != model[tm] {
					t.Fatalf("seed %d: timer %d has place %d, time %d, want %d", seed, i, tm.i, tm.at, model[tm])
				}
			}
		}
	}
}
