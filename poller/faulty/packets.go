//go:build linux

package faulty

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// fewPackets executes a receive of datagrams with room for fewer than it has, if
// that is to be, and has the rest, if there is one, reported as a change of its own.
func (b *backend) fewPackets(e *poller.Entry) bool {
	fd, room := int32(e.Args[0]), e.Args[2]
	b.mu.Lock()
	defer b.mu.Unlock()
	if room < 2 || !b.driver.chance(b.f.rates.ShortRecv) {
		return false
	}
	few := b.driver.part(min(room, 4))
	e.Args[2] = few
	b.inner.Call(e)
	b.note("harvest from %d: at most %d of %d messages", fd, few, room)
	if e.Ret == int64(few) {
		b.again(fd, 0)
	}
	return true
}

// lose has one message of a sendmmsg taken and never sent, as a network may.
func (b *backend) lose(e *poller.Entry, d *dice) bool {
	if e.NR != unix.SYS_SENDMMSG || e.Args[2] == 0 {
		return false
	}
	b.mu.Lock()
	hit := d.chance(b.f.rates.Loss)
	which := uint64(0)
	if hit {
		which = d.Uint64N(e.Args[2])
	}
	b.mu.Unlock()
	if !hit {
		return false
	}
	args := e.Args
	if e.Args[2] = which; which > 0 {
		b.inner.Call(e)
	} else {
		e.Ret = 0
	}
	if e.Ret == int64(which) {
		if e.Args[2] = args[2] - which - 1; e.Args[2] > 0 {
			e.Args[1] += (which + 1) * uint64(unsafe.Sizeof(poller.Packet{}))
			b.inner.Call(e)
		} else {
			e.Ret = 0
		}
		e.Ret = max(e.Ret, 0) + int64(which) + 1
		b.note("call %d on %d: message %d of %d lost", e.NR, args[0], which, args[2])
	}
	e.Args = args
	return true
}
