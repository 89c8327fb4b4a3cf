//go:build linux && (amd64 || arm64)

package conn

import (
	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// packetFirst is how a loop of datagrams receives instead of asking the epoll, where the
// backend makes a crossing of either: after a park, which the socket has most likely ended,
// and where the last look has found something, behind which there is most likely more. Where
// nothing is expected the epoll is asked, as a receive in vain costs twice as much. Before a
// park either will do: each datagram that comes later is an edge, also for the netpoller that
// the epoll is in. Only if a park was ended by something else the epoll has to be asked, so
// that it does not report that again.
type packetFirst struct {
	can    bool          // the backend crosses for each
	sock   *packetSocket // the only one, and what it has queued does not wait for room; else nil
	likely bool          // the last first look of a crossing has found something
	entry  poller.Entry  // of the receive
	ran    bool          // entry has
}

// plan is called with the lock, before the driver crosses.
func (pl *packetLoop) plan() {
	if pl == nil {
		return
	}
	f := &pl.first
	f.sock = nil
	if f.can && len(pl.socks) == 1 && pl.peers == 0 && pl.socks[0].state == packetFree {
		f.sock = pl.socks[0]
	}
}

// eager reports whether this look, of so many in this crossing, receives first.
func (pl *packetLoop) eager(looks int) bool {
	f := &pl.first
	return f.sock != nil && (looks > 1 || f.likely)
}

// receiveFirst is a Tick that does.
func (pl *packetLoop) receiveFirst() (int, error) {
	l, f := pl.l, &pl.first
	l.be.Run(l.table.n)
	slot := l.sh.TakeSlot()
	if slot < 0 {
		return l.be.Tick(0)
	}
	l.sh.RecvPackets(&f.entry, f.sock.fd, slot)
	l.be.Call(&f.entry)
	f.ran = true
	if f.entry.Ret <= 0 {
		l.sh.FreeSlot(slot)
		if l.looks == 1 && f.entry.Ret == -int64(unix.EAGAIN) {
			return 0, nil // and no other error, which says nothing of what is there
		}
		return l.be.Tick(0) // an error has the epoll report it as well
	}
	l.sh.Events[0] = poller.Event{FD: f.sock.fd, Gen: f.sock.gen, Mask: unix.EPOLLIN, Slot: slot, N: int32(f.entry.Ret)}
	return 1, nil
}

// looked takes in a look that has brought so many events, with the lock.
func (pl *packetLoop) looked(events int) {
	if pl == nil {
		return
	}
	f := &pl.first
	if pl.l.looks == 1 {
		f.likely = events > 0
	}
	if f.ran {
		f.ran = false
		pl.l.stats.calls.CountCall(&f.entry)
	}
}
