//go:build linux && (amd64 || arm64)

package conn

import (
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// tidy is how a loop gives memory back when a crowd of connections has left: its slots to
// the system, its lists, and what the connections and their workers were to Go's
// collector, which an idle process would not run for two minutes. A loop that has lost no
// crowd has nothing to give back, and sets no timer for it.
type tidy struct {
	most int   // connections at once, since it was last tidied
	at   int64 // when to tidy; 0: there is nothing to
}

const (
	crowd      = 512 // connections; fewer have too little memory to trouble the collector for
	tidyPeriod = 5 * time.Second
	keptSlots  = 8
)

// plan says when to tidy, as the driver parks: not before idle workers have been ended.
func (t *tidy) plan(l *loop) {
	if t.at == 0 && t.most-l.open >= crowd {
		t.at = l.now + int64(tidyPeriod)
	}
}

// tidyUp is called when the time has come. Not while the driver is away.
func (l *loop) tidyUp() {
	t := &l.tidy
	t.at = 0
	if t.most-l.open < crowd {
		return // they have come back
	}
	if idle := &l.workers.idle; len(idle[inlineWorker])+len(idle[spawnedWorker]) > keptWorkers || len(l.workers.retired) > 0 {
		t.at = l.now + int64(tidyPeriod)
		return
	}
	t.most = l.open
	l.sh.Trim(keptSlots)
	l.frames = nil
	last := len(l.conns)
	for last > 0 && l.conns[last-1] == nil {
		last--
	}
	l.conns = append([]*Conn(nil), l.conns[:last]...)
	l.timers.heap = append([]*timer(nil), l.timers.heap...)
	l.dirty = append([]*Conn(nil), l.dirty...)
	l.late = append([]*Conn(nil), l.late...)
	l.runq = append([]*worker(nil), l.runq...)
	l.later = append([]*worker(nil), l.later...)
	l.freed = append([]int32(nil), l.freed...)
	for kind, pool := range l.workers.idle {
		l.workers.idle[kind] = append([]*worker(nil), pool...)
	}
	l.handover.tidy()
	go garbage.collect()
}

// tidy drops the spare list.
func (h *handover) tidy() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.spare = nil
}

// garbage is what connections that have left were, of all loops.
var garbage collector

type collector struct{ asked atomic.Bool }

// cyclesWanted is how many collections it takes: what is in a sync.Pool outlives one,
// and the system does not get back what was in use at the end of the last.
const cyclesWanted = 3

// collect sees that Go's collector has run a little later, by itself if it can.
func (g *collector) collect() {
	if g.asked.Swap(true) {
		return // for all loops at once
	}
	was := cycles()
	time.AfterFunc(tidyPeriod, func() {
		g.asked.Store(false)
		for n := cycles() - was; n < cyclesWanted; n++ {
			runtime.GC()
		}
	})
}

// cycles is how many collections there were.
func cycles() uint64 {
	s := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}
