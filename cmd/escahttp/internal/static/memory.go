package static

import (
	"errors"
	"sync/atomic"
)

var errNoRoom = errors.New("there is no room for a copy")

// memory is what copies take together, those among them that are in no cache any
// more but still being sent. Large ones may take most, and small ones twice that:
// those that they push out of the cache are gone as soon as they are sent.
type memory struct {
	most  int64
	taken atomic.Int64
}

func (m *memory) take(n int64) bool {
	most := m.most
	if n <= copiedAlways {
		most *= 2
	}
	if m.taken.Add(n) > most {
		m.give(n)
		return false
	}
	return true
}

func (m *memory) give(n int64) { m.taken.Add(-n) }

// taken is n bytes of m, until it is closed.
type taken struct {
	m *memory
	n int64
}

func (t taken) Close() error { t.m.give(t.n); return nil }
