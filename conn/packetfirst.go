//go:build linux && (amd64 || arm64)

package conn

import (
	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// packetFirst is how a loop of datagrams receives before it asks the epoll, where the backend
// makes a crossing of either: after a park, which the socket has most likely ended, and
// after a receive that has brought many, behind which there are most likely more. The
// epoll is asked once nothing has come, as it has to be before the loop parks.
type packetFirst struct {
	can   bool          // the backend crosses for each
	sock  *packetSocket // the only one, and what it has queued does not wait for room; else nil
	entry poller.Entry  // of the receive
	ran   bool          // entry has
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

// eager reports whether this look receives first.
func (pl *packetLoop) eager() bool { return pl.first.sock != nil }

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
	if f.entry.Ret <= 0 { // an error has the epoll report it as well
		l.sh.FreeSlot(slot)
		if l.looks == 1 && again(f.entry.Ret) {
			return 0, nil
		}
		return l.be.Tick(0)
	}
	l.sh.Events[0] = poller.Event{FD: f.sock.fd, Gen: f.sock.gen, Mask: unix.EPOLLIN, Slot: slot, N: int32(f.entry.Ret)}
	return 1, nil
}

// count counts the receive, with the lock.
func (pl *packetLoop) count() {
	if pl != nil && pl.first.ran {
		pl.first.ran = false
		pl.l.stats.calls.CountCall(&pl.first.entry)
	}
}
