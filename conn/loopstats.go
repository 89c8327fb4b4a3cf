//go:build linux && (amd64 || arm64)

package conn

import (
	"github.com/escahttp/esca/poller"
)

// loopStats is a loop's part of Stats, under its lock.
type loopStats struct {
	table             poller.Counts // by Tick and Run, as last observed
	calls             poller.Counts // outside the table
	looks, events     uint64
	accepted, bursts  uint64
	steals            uint64
	bytesIn, bytesOut uint64
}

// count is called after each look.
func (s *loopStats) count(l *loop, events int) {
	s.events += uint64(events)
	if s.looks++; s.looks&63 == 0 {
		s.observe(l)
	}
}

// observe is called as the driver parks, and now and then while it does not.
func (s *loopStats) observe(l *loop) {
	s.table = *l.be.Counts()
	l.workers.planTrim(l.now)
	l.tidy.plan(l)
}

func (l *loop) addStats(s *Stats) {
	ls := &l.stats
	s.Counts.Add(&ls.table)
	s.Counts.Add(&ls.calls)
	s.Events += ls.events
	s.Accepted += ls.accepted
	s.Bursts += ls.bursts
	s.Steals += ls.steals
	s.BytesIn += ls.bytesIn
	s.BytesOut += ls.bytesOut
	if pl := l.packets; pl != nil {
		s.PacketsIn += pl.in
		s.PacketsOut += pl.sent
		s.PacketsDropped += pl.dropped
	}
	idle, open := l.workers.countIdle(), l.packets.others(l.open)
	s.Open += open
	s.Dialled += l.guests
	s.Idle += open - l.guests - (l.workers.all - idle)
	s.Workers += l.workers.all
	s.IdleWorkers += idle
}
