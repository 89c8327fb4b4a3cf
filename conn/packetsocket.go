//go:build linux && (amd64 || arm64)

package conn

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// packetMemory is how a slot of packets is divided. A message has room for the
// longest datagram, and for as many as UDP_GRO makes one message of; of memory that
// nothing is received into there is none.
var packetMemory = poller.PacketLayout{Messages: 64, Size: 1 << 16, Control: 128}

const (
	packetSlots     = 8  // one is used at a time, but for those of handlers that were left behind
	mostPacketSlots = 64 // they are large: WithMemory's, which is perhaps meant for connections, does not count above it
	mostBatches     = 8  // that a socket queues: what is over it is dropped
	mostErrors      = 8  // of receives in a row, after which the next event is waited for
)

// packetSocket is the socket of a loop on which datagrams come and go. Everything moves
// with the lock.
//
//	receiving   the harvest receives; where it has filled a slot, or has found none, the
//	            socket is in packets.more, and the driver receives once each tick until
//	            nothing is left
//	sending     out[:flying] are in the table, linked, so that nothing overtakes; the
//	            rest is recorded by the driver (advance), unless the socket is full:
//	            then it is asked for EPOLLOUT
type packetSocket struct {
	l      *loop
	ln     *PacketListener
	fd     int32 // -1 once it is closed
	gen    uint32
	family uint16

	more    bool // in packets.more
	starved bool // there was no slot to receive into: finish puts it into packets.more
	errors  int  // of receives in a row

	out     []*packetBatch
	flying  int
	isDirty bool
	state   packetOut
	armed   bool  // EPOLLOUT is in the registration
	most    int   // bytes of a datagram
	longest int   // of one that may share a message
	narrow  int64 // until when longest is less than longestSegment; 0: it is not
}

type packetOut uint8

const (
	packetFree    packetOut = iota
	packetBlocked           // the socket is full, and EPOLLOUT is to be asked for
	packetAsked             // and has been
)

// packetLoop is what a loop of datagrams has: it has no connections.
type packetLoop struct {
	l       *loop
	handler PacketHandler
	socks   []*packetSocket
	dirty   []*packetSocket
	more    []*packetSocket
	sends   []packetSend // of the table
	spare   []*packetBatch
	idle    []*Packets

	first packetFirst

	in, sent, dropped uint64 // datagrams
}

// packetSend is an entry of the table.
type packetSend struct {
	entry int
	s     *packetSocket
	b     *packetBatch
}

// hasWork reports whether the driver must not park.
func (pl *packetLoop) hasWork() bool { return pl != nil && len(pl.dirty)+len(pl.more) > 0 }

// add makes fd, which must be non-blocking, a socket of the loop.
func (pl *packetLoop) add(ln *PacketListener, fd int32, family uint16) error {
	l := pl.l
	l.gens = (l.gens + 1) & poller.GenMask
	s := &packetSocket{l: l, ln: ln, fd: fd, gen: l.gens, family: family, most: longestOf(family)}
	if family == unix.AF_INET || family == unix.AF_INET6 {
		s.longest = longestSegment
		unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) // without, they come one by one
	}
	pl.socks = append(pl.socks, s)
	l.open++
	l.sh.SetInterest(fd, s.gen, poller.HarvestPackets)
	return l.ep.Add(fd, s.gen, poller.MaskIn)
}

// dispatch takes one event in.
func (pl *packetLoop) dispatch(ev *poller.Event) {
	for _, s := range pl.socks {
		if s.fd == ev.FD && s.gen == ev.Gen {
			s.arrived(ev)
			return
		}
	}
	if ev.Slot >= 0 {
		pl.freeSlot(ev.Slot, ev.N)
	}
}

func (pl *packetLoop) freeSlot(slot, n int32) {
	l := pl.l
	l.sh.ResetPackets(slot, n)
	if l.away() {
		l.freed = append(l.freed, slot)
		return
	}
	l.sh.FreeSlot(slot)
}

func (s *packetSocket) arrived(ev *poller.Event) {
	if ev.Mask&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 && s.state != packetFree {
		s.state = packetFree
		s.dirty()
	}
	if ev.Mask&^unix.EPOLLOUT == 0 {
		return
	}
	switch {
	case ev.Slot >= 0:
		s.received(ev.Slot, int64(ev.N))
	case ev.Err != 0:
		s.received(-1, -int64(ev.Err))
	default: // no slot was free, or nothing is left
		s.goOn()
	}
}

// received takes in the result of a receive into slot, which has it served.
func (s *packetSocket) received(slot int32, ret int64) {
	switch {
	case ret > 0:
		s.errors = 0
		s.l.packets.first.last = int(ret)
		s.l.others.since += int(ret) // a message is as much as another loop's event
		if int(ret) == packetMemory.Messages {
			s.goOn()
		}
		s.serve(slot, int32(ret))
	case ret != -int64(unix.EAGAIN):
		// An error of the socket is reported once, and what has come behind it has no
		// edge of its own.
		if s.errors++; s.errors <= mostErrors {
			s.goOn()
		}
	}
}

// goOn has the driver receive in the next turn.
func (s *packetSocket) goOn() {
	if pl := s.l.packets; !s.more && s.fd >= 0 {
		s.more = true
		pl.more = append(pl.more, s)
	}
}

// receiveMore receives for each socket that may have more, by a direct call. False:
// the driver is to stop.
func (l *loop) receiveMore(me uint64) bool {
	pl := l.packets
	if pl == nil {
		return true
	}
	for range len(pl.more) {
		s := pl.more[0]
		pl.more = append(pl.more[:0], pl.more[1:]...)
		s.more = false
		s.receive()
		if l.gen != me {
			return false
		}
	}
	return true
}

func (s *packetSocket) receive() {
	l := s.l
	if s.fd < 0 {
		return
	}
	slot := l.sh.TakeSlot()
	if slot < 0 {
		s.starved = true
		return
	}
	f := l.getFrame(nil)
	l.sh.RecvPackets(&f.Entry, s.fd, slot)
	ret := l.call(f)
	l.putFrame(f)
	if ret <= 0 {
		l.sh.FreeSlot(slot)
	}
	s.received(slot, ret)
}

// serve has the Handler serve what is in slot.
func (s *packetSocket) serve(slot, n int32) {
	l := s.l
	p := l.packets.packets()
	p.begin(s, slot, n)
	l.open++ // its memory is needed until the Handler returns
	l.outside(nil, p.run)
	p.finish()
}

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

// close closes the sockets; nothing is received any more.
func (pl *packetLoop) close() {
	for _, s := range pl.socks {
		s.close()
	}
	pl.socks = nil
}

// close sends what is queued, as far as the socket takes it, and closes the socket.
// The driver calls it.
func (s *packetSocket) close() {
	l := s.l
	for range mostBatches {
		if len(s.out) == 0 || s.state != packetFree {
			break
		}
		s.advance()
		l.flush()
	}
	for _, b := range s.out {
		s.drop(b, b.n-b.sent)
	}
	l.ep.Remove(s.fd)
	unix.Close(int(s.fd))
	s.fd, s.out = -1, nil
	l.open--
}
