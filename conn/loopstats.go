//go:build linux && (amd64 || arm64)

package conn

import (
	"time"

	"github.com/escahttp/esca/poller"
)

// loopStats is a loop's part of Stats, under its lock.
type loopStats struct {
	table             poller.Counts // by Tick and Run, as of the last wait
	calls             poller.Counts // outside the table
	events            uint64
	accepted, bursts  uint64
	steals            uint64
	bytesIn, bytesOut uint64
}

// trimPeriod is how often workers that were not needed are ended.
const trimPeriod = 10 * time.Second

// observe is called after each wait.
func (s *loopStats) observe(l *Loop, events int) {
	s.events += uint64(events)
	s.table = *l.be.Counts()
	ws := &l.workers
	trimmable := func() bool { return len(ws.idle[inlineWorker])+len(ws.idle[spawnedWorker]) > 0 }
	if !trimmable() {
		return
	}
	if l.trimAt == 0 {
		l.trimAt = clockNow() + int64(trimPeriod)
	} else if events == 0 || s.table.Ticks&255 == 0 {
		if now := clockNow(); l.trimAt <= now {
			ws.trim()
			l.trimAt = 0
			if trimmable() {
				l.trimAt = now + int64(trimPeriod)
			}
		}
	}
}

func (l *Loop) addStats(s *Stats) {
	ls := &l.stats
	s.Counts.Add(&ls.table)
	s.Counts.Add(&ls.calls)
	s.Events += ls.events
	s.Accepted += ls.accepted
	s.Bursts += ls.bursts
	s.Steals += ls.steals
	s.BytesIn += ls.bytesIn
	s.BytesOut += ls.bytesOut
	idle := l.workers.countIdle()
	s.Open += l.open
	s.Idle += l.open - (l.workers.all - idle)
	s.Workers += l.workers.all
	s.IdleWorkers += idle
}
