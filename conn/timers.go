//go:build linux && (amd64 || arm64)

package conn

// timer is when a connection next has to be looked at. It is lazy: setting a
// later deadline leaves it, and when it fires it is set to what is due then.
type timer struct {
	c  *Conn
	at int64
	i  int32 // place in the heap, plus one; 0: not in it
}

// timers is a heap, the earliest first.
type timers struct{ heap []*timer }

func (ts *timers) first() int64 {
	if len(ts.heap) == 0 {
		return 0
	}
	return ts.heap[0].at
}

// set has t fire at the latest at at.
func (ts *timers) set(t *timer, at int64) {
	if t.i == 0 {
		ts.heap = append(ts.heap, t)
		t.i = int32(len(ts.heap))
	} else if t.at <= at {
		return
	}
	t.at = at
	ts.up(int(t.i) - 1)
}

func (ts *timers) remove(t *timer) {
	if t.i == 0 {
		return
	}
	i, last := int(t.i)-1, len(ts.heap)-1
	ts.swap(i, last)
	ts.heap[last] = nil
	ts.heap = ts.heap[:last]
	t.i = 0
	if i < last {
		ts.up(i)
		ts.down(i)
	}
}

func (ts *timers) up(i int) {
	for i > 0 {
		p := (i - 1) / 4
		if ts.heap[p].at <= ts.heap[i].at {
			return
		}
		ts.swap(i, p)
		i = p
	}
}

func (ts *timers) down(i int) {
	for {
		least := i
		for k := 4*i + 1; k <= 4*i+4 && k < len(ts.heap); k++ {
			if ts.heap[k].at < ts.heap[least].at {
				least = k
			}
		}
		if least == i {
			return
		}
		ts.swap(i, least)
		i = least
	}
}

func (ts *timers) swap(i, j int) {
	h := ts.heap
	h[i], h[j] = h[j], h[i]
	h[i].i, h[j].i = int32(i+1), int32(j+1)
}
