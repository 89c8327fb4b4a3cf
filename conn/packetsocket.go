//go:build linux && (amd64 || arm64)

package conn

import (
	"net"

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
	l       *loop
	handler PacketHandler
	addr    net.Addr
	peer    *PacketPeer // whose socket it is, which is connected; nil: a PacketListener's
	fd      int32       // -1 once it is closed
	gen     uint32
	family  uint16

	more    bool // in packets.more
	errors  int  // of receives in a row
	serving int  // calls of the handler that have not returned

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

// packetLoop is what a loop has for datagrams: one of a PacketListener's, which has no
// connections, or one of a Listener's, with PacketPeers.
type packetLoop struct {
	l       *loop
	sh      *poller.Shared  // where it receives into: the loop's, or of its own
	at      []*packetSocket // by descriptor
	socks   []*packetSocket // the PacketListener's
	peers   int
	held    int // of the loop's open: all sockets, and slots that are being served
	dirty   []*packetSocket
	more    []*packetSocket
	starved []*packetSocket // there was no slot to receive into: finish puts them into more
	sends   []packetSend    // of the table
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

// ownsSlots reports whether the loop's slots are laid out for datagrams.
func (pl *packetLoop) ownsSlots() bool { return pl.sh == pl.l.sh }

// hold counts something that the loop must not end before, by n.
func (pl *packetLoop) hold(n int) {
	pl.held += n
	pl.l.open += n
}

// add makes fd, which must be non-blocking, a socket of the loop.
func (pl *packetLoop) add(h PacketHandler, addr net.Addr, fd int32, family uint16) (*packetSocket, error) {
	l := pl.l
	l.gens = (l.gens + 1) & poller.GenMask
	s := &packetSocket{l: l, handler: h, addr: addr, fd: fd, gen: l.gens, family: family, most: longestOf(family)}
	if family == unix.AF_INET || family == unix.AF_INET6 {
		s.longest = longestSegment
		unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) // without, they come one by one
	}
	if err := l.ep.Add(fd, s.gen, poller.MaskIn); err != nil {
		return nil, err
	}
	if pl.ownsSlots() {
		l.sh.SetInterest(fd, s.gen, poller.HarvestPackets)
	}
	if n := int(fd) + 1; n > len(pl.at) {
		pl.at = append(pl.at, make([]*packetSocket, n-len(pl.at))...)
	}
	pl.at[fd] = s
	pl.hold(1)
	return s, nil
}

// dispatch takes one event in. False: it is about something else.
func (pl *packetLoop) dispatch(ev *poller.Event) bool {
	if int(ev.FD) < len(pl.at) {
		if s := pl.at[ev.FD]; s != nil && s.gen == ev.Gen && !s.peer.isClosed() {
			s.arrived(ev)
			return true
		}
	}
	if !pl.ownsSlots() {
		return false
	}
	if ev.Slot >= 0 {
		pl.freeSlot(ev.Slot, ev.N)
	}
	return true
}

func (pl *packetLoop) freeSlot(slot, n int32) {
	l := pl.l
	pl.sh.ResetPackets(slot, n)
	if l.away() && pl.ownsSlots() { // the backend has the others
		l.freed = append(l.freed, slot)
		return
	}
	pl.sh.FreeSlot(slot)
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
		s.l.others.since += int(ret) // a message is as much as another loop's event
		if int(ret) == packetMemory.Messages {
			s.goOn()
		}
		s.serve(slot, int32(ret))
	case ret != -int64(unix.EAGAIN):
		// An error of the socket is reported once, and what has come behind it has no
		// edge of its own.
		s.peer.fail(unix.Errno(-ret))
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

// receiveMore receives once for each socket that may have more, by a direct call; where
// they have brought enough, the others' turn is after the next look. False: the driver is to
// stop.
func (l *loop) receiveMore(me uint64) bool {
	pl := l.packets
	if pl == nil {
		return true
	}
	from := l.others.since
	for range len(pl.more) {
		if l.others.since-from >= giveWayEvery {
			break
		}
		s := pl.more[0]
		pl.more = append(pl.more[:0], pl.more[1:]...)
		s.more = false
		s.receive(me)
		if l.gen != me {
			return false
		}
		l.flushIfLate() // what connections have written
	}
	return true
}

func (s *packetSocket) receive(me uint64) {
	l := s.l
	if s.peer.serveNews(); l.gen != me {
		s.goOn() // the driver that has the loop now
		return
	}
	if s.fd < 0 || s.peer.isClosed() {
		return
	}
	sh := l.packets.sh
	slot := sh.TakeSlot()
	if slot < 0 {
		l.packets.starved = append(l.packets.starved, s)
		return
	}
	f := l.getFrame(nil)
	sh.RecvPackets(&f.Entry, s.fd, slot)
	ret := l.call(f)
	l.putFrame(f)
	if ret <= 0 {
		sh.FreeSlot(slot)
	}
	s.received(slot, ret)
}

// serve has the Handler serve what is in slot; -1: nothing.
func (s *packetSocket) serve(slot, n int32) {
	l := s.l
	p := l.packets.packets()
	p.begin(s, slot, n)
	l.packets.hold(1) // its memory is needed until the Handler returns
	s.serving++
	l.outside(nil, p.run)
	p.finish()
}

// close closes the PacketListener's sockets.
func (pl *packetLoop) close() {
	for _, s := range pl.socks {
		s.close()
	}
	pl.socks = nil
}

// close sends what is queued, as far as the socket takes it, and closes the socket. The
// driver calls it.
func (s *packetSocket) close() {
	l := s.l
	for refused := 0; len(s.out) > 0 && refused < 2; { // once may be for want of a moment's memory
		s.state = packetFree
		s.advance()
		l.flush()
		if refused++; s.state == packetFree {
			refused = 0
		}
	}
	for _, b := range s.out {
		s.drop(b, b.n-b.sent)
	}
	l.ep.Remove(s.fd)
	unix.Close(int(s.fd))
	l.packets.at[s.fd] = nil
	s.fd, s.out = -1, nil
	l.packets.hold(-1)
}
