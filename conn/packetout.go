//go:build linux && (amd64 || arm64)

package conn

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// batch returns an empty one.
func (pl *packetLoop) batch() *packetBatch {
	if n := len(pl.spare); n > 0 {
		b := pl.spare[n-1]
		pl.spare = pl.spare[:n-1]
		return b
	}
	return newPacketBatch()
}

// keepBatch takes back one that is not needed.
func (pl *packetLoop) keepBatch(b *packetBatch) {
	if b.empty(); len(pl.spare) < mostBatches {
		pl.spare = append(pl.spare, b)
	}
}

// submit queues b, whose messages the kernel has not yet got.
func (s *packetSocket) submit(b *packetBatch) {
	l := s.l
	if len(s.out) >= mostBatches && !l.away() && s.state == packetFree {
		s.advance()
		l.flush()
	}
	if len(s.out) >= mostBatches || s.fd < 0 {
		s.drop(b, b.n-b.sent)
		l.packets.keepBatch(b)
		return
	}
	s.out = append(s.out, b)
	if l.away() && s.flying == 0 && s.state == packetFree {
		s.sendNow()
		return
	}
	s.dirty()
}

// drop counts the next messages of b as gone.
func (s *packetSocket) drop(b *packetBatch, messages int) {
	n, _ := b.datagrams(messages)
	b.sent += messages
	s.l.packets.dropped += n
}

// sendNow sends what is queued while the driver is away. It does not wait.
func (s *packetSocket) sendNow() {
	l := s.l
	for len(s.out) > 0 && s.state == packetFree {
		f := l.getFrame(nil)
		b := s.out[0]
		b.record(&f.Entry, s.fd)
		ret := l.call(f)
		l.putFrame(f)
		s.result(b, ret)
	}
}

// dirty has the driver look at s before it next crosses.
func (s *packetSocket) dirty() {
	if pl := s.l.packets; !s.isDirty && s.fd >= 0 {
		s.isDirty = true
		pl.dirty = append(pl.dirty, s)
	}
	s.l.wake()
}

// advance records for each socket that is dirty what it has for the table.
func (pl *packetLoop) advance() {
	if pl == nil {
		return
	}
	n := len(pl.dirty)
	for i := range n {
		s := pl.dirty[i]
		s.isDirty = false
		s.advance()
	}
	rest := copy(pl.dirty, pl.dirty[n:])
	clear(pl.dirty[rest:])
	pl.dirty = pl.dirty[:rest]
}

// advance does for s what needs the table. Not while the driver is away.
func (s *packetSocket) advance() {
	l, t := s.l, &s.l.table
	if s.fd < 0 {
		return
	}
	l.makeRoom(4, pollBytes) // what it makes known comes first
	switch {
	case s.state == packetBlocked:
		// Even if it is in the registration already: after ENOBUFS no edge comes by
		// itself, after MOD one does.
		s.state, s.armed = packetAsked, true
		s.poll(poller.MaskInOut)
		return
	case s.state == packetAsked || s.flying > 0:
		return
	case len(s.out) == 0:
		if s.armed { // each datagram that leaves would be an event
			s.armed = false
			s.poll(poller.MaskIn)
		}
		return
	}
	for i, b := range s.out[:min(len(s.out), len(t.entries)-t.n)] {
		if i > 0 {
			t.entries[t.n-1].Flags |= poller.Link
		}
		b.record(l.record(nil), s.fd)
		l.packets.sends = append(l.packets.sends, packetSend{t.n - 1, s, b})
		s.flying++
	}
}

// poll records that the registration changes.
func (s *packetSocket) poll(mask uint32) {
	l := s.l
	l.table.used = (l.table.used + 7) &^ 7
	ev := (*unix.EpollEvent)(l.table.alloc(int(unsafe.Sizeof(unix.EpollEvent{}))))
	ev.Events = mask
	poller.EventData(ev, s.fd, s.gen)
	l.record(nil).EpollCtl(l.ep.FD, unix.EPOLL_CTL_MOD, s.fd, ev)
}

// collect looks at the results of the sends that were run.
func (pl *packetLoop) collect() {
	if pl == nil {
		return
	}
	for _, r := range pl.sends {
		r.s.flying--
		r.s.result(r.b, pl.l.table.entries[r.entry].Ret)
	}
	clear(pl.sends)
	pl.sends = pl.sends[:0]
}

// result takes in the result of a send of b, which is the first that is queued, if
// it was run.
func (s *packetSocket) result(b *packetBatch, ret int64) {
	pl := s.l.packets
	switch {
	case ret == -int64(unix.ECANCELED):
	case ret > 0:
		n, bytes := b.datagrams(int(ret))
		pl.sent += n
		s.l.stats.bytesOut += bytes
		if b.sent == 0 && b.splitBy != 0 {
			s.learn(b)
		}
		b.sent += int(ret)
	case again(ret):
		s.state = packetBlocked
	default:
		s.failed(b, unix.Errno(-ret))
	}
	if b.sent == b.n && len(s.out) > 0 && s.out[0] == b {
		s.out = append(s.out[:0], s.out[1:]...)
		pl.keepBatch(b)
	}
	if len(s.out) > 0 || s.armed {
		s.dirty()
	}
}

// narrowLasts is for how long what one peer cannot have together is not sent together to
// any: about as long as the kernel believes that a path is narrow.
const narrowLasts = 10 * time.Minute

// together is how long a datagram may be that shares a message.
func (s *packetSocket) together() int {
	if s.narrow != 0 && s.l.now >= s.narrow {
		s.narrow, s.longest = 0, longestSegment
	}
	return s.longest
}

// failed gives up the next message of b if it has failed before: the error may be one
// that was waiting for whoever comes next (ICMP, where IP_RECVERR asks for it). Of a
// message that is several datagrams it has these sent one by one: the way to this peer may
// be narrower, or its device unable to do it.
func (s *packetSocket) failed(b *packetBatch, errno unix.Errno) {
	i := b.sent
	switch {
	case b.count[i] == 1 && b.failed > i: // again
		s.drop(b, 1)
		return
	case b.count[i] == 1:
		s.peer.fail(errno)
		b.failed = i + 1
		return
	}
	into := s.l.packets.batch()
	b.split(i, into)
	into.splitBy = errno
	b.sent++
	if b.sent == b.n {
		s.out[0] = into
		s.l.packets.keepBatch(b)
		return
	}
	s.out = append([]*packetBatch{into}, s.out...)
}

// learn has what could not leave together not be tried again for some time, now that the
// first datagram of b has left by itself. If it had not, it would be the peer's: to port 0,
// from which a datagram can come, there is no way at all.
func (s *packetSocket) learn(b *packetBatch) {
	longest := s.longest
	switch b.splitBy {
	case unix.EIO: // no checksums there
		longest = 0
	case unix.EMSGSIZE, unix.EINVAL:
		longest = min(longest, int(b.size[0])-1)
	default:
		return
	}
	s.longest, s.narrow = longest, s.l.now+int64(narrowLasts)
}
