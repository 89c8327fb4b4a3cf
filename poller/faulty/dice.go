//go:build linux

package faulty

import "math/rand/v2"

// dice draws the faults of one side of a backend: the driver's (Tick and Run)
// and the callers' (Call) draw apart, so that the callers' timing does not
// change what happens to the tables.
type dice struct {
	*rand.Rand
	// spared holds the descriptors whose last call was hit by a fault that made
	// no progress: the next call is left alone.
	spared map[int32]bool
}

func newDice(seed, stream uint64) *dice {
	return &dice{Rand: rand.New(rand.NewPCG(seed, stream)), spared: make(map[int32]bool)}
}

func (d *dice) chance(p float64) bool { return p > 0 && d.Float64() < p }

// part is a number from 1 to n-1.
func (d *dice) part(n uint64) uint64 { return 1 + d.Uint64N(n-1) }

// spare reports whether fd is to be left alone this time.
func (d *dice) spare(fd int32) bool {
	was := d.spared[fd]
	delete(d.spared, fd)
	return was
}
