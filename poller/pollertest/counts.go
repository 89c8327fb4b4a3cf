//go:build linux

package pollertest

import (
	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

var countCases = []testcase{
	{name: "entries", run: func(r *rig) {
		a, b := r.pair()
		c, d := r.pair()
		r.close(d)
		r.send(a, "1")
		r.sendMsg(a, "2")
		r.send(c, "fails, and counts")
		r.recv(b, 1)
		r.sendfile(a, r.file("3"), nil, 1)
		r.epollCtl(unix.EPOLL_CTL_ADD, a, 1, poller.MaskIn)
		r.nop()
		r.add().NR = unix.SYS_GETPPID
		r.chain(r.shutdown(a, unix.SHUT_WR), r.send(a, "fails"), r.send(a, "cancelled"), r.closeFD(a))
		r.open[a] = true
		r.closeFD(c)
		r.b.Run(r.n)
		r.counted(0, map[poller.Call]uint64{
			poller.CallSend: 4, poller.CallRecv: 1, poller.CallSendfile: 1, poller.CallEpollCtl: 1,
			poller.CallOther: 1, poller.CallShutdown: 1, poller.CallClose: 1,
		})
	}},

	{name: "ticks and harvests", run: func(r *rig) {
		a, b := r.pair()
		r.watch(b, 1, poller.HarvestRecv)
		for range 3 {
			r.send(a, "x")
			if n := r.found(1); n != 1 {
				r.Fatalf("%d events, want 1", n)
			}
			r.harvested(r.sh.Events[0])
			r.n = 0
		}
		r.tick(0)
		r.counted(4, map[poller.Call]uint64{poller.CallSend: 3, poller.CallRecv: 3})
	}},

	{name: "calls are not counted", run: func(r *rig) {
		a, b := r.pair()
		r.must(roundTrip(r.b, a, b, r.alloc(2), "x"))
		r.counted(0, nil)
	}},
}

// counted compares what the backend has counted, but for the waits and the
// crossings: there backends differ, that is what they are for.
func (r *rig) counted(ticks uint64, calls map[poller.Call]uint64) {
	r.Helper()
	got := *r.b.Counts()
	if got.Ticks != ticks {
		r.Errorf("%d ticks, want %d", got.Ticks, ticks)
	}
	for c := range poller.Calls {
		if c != poller.CallEpollWait && got.ByCall[c] != calls[c] {
			r.Errorf("%s: %d, want %d", c, got.ByCall[c], calls[c])
		}
	}
	if ran := len(calls) > 0 || ticks > 0; ran != (got.Crossings > 0) {
		r.Errorf("%d crossings", got.Crossings)
	}
}
