//go:build linux && (amd64 || arm64)

package conn

import (
	"encoding/binary"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// PacketHandler serves the datagrams that come to a PacketListener, or a PacketPeer.
//
// Serve is called by a loop, with all that one receive has brought: up to 64
// messages, each of one or several datagrams. What it answers leaves when it has
// returned, in one system call. p and the bytes it gives out are the loop's, and only
// good until Serve returns; only the goroutine that Serve was called on may use p.
// Serve is called by several loops at once; and if it keeps a loop for more than
// about a millisecond, the loop goes on without it (WithSteals), and calls it again
// meanwhile: what it answers then may come behind answers to what has come later.
// Otherwise the datagrams of a peer are served, and answered, in their order.
type PacketHandler interface {
	Serve(p *Packets)
}

// PacketHandlerFunc is a function as a PacketHandler.
type PacketHandlerFunc func(p *Packets)

// Serve calls f.
func (f PacketHandlerFunc) Serve(p *Packets) { f(p) }

// Packets is what has come to a socket since the loop last looked. It stands on one
// datagram after the other:
//
//	for p.Next() {
//		p.Reply(p.Data())
//	}
type Packets struct {
	s    *packetSocket
	slot int32
	n    int32
	run  func() // call, bound once

	next    int32 // message
	msg     *poller.Packet
	data    []byte // the datagram it stands on
	rest    []byte // of the message, behind it
	segment int    // bytes of each datagram of the message

	out     *packetBatch
	longest int        // of a datagram that may share a message
	name    packetName // of Send
}

// packets returns one that is not in use.
func (pl *packetLoop) packets() *Packets {
	if n := len(pl.idle); n > 0 {
		p := pl.idle[n-1]
		pl.idle = pl.idle[:n-1]
		return p
	}
	p := new(Packets)
	p.run = p.call
	return p
}

func (p *Packets) begin(s *packetSocket, slot, n int32) {
	p.s, p.slot, p.n, p.longest = s, slot, n, s.together()
	if p.out == nil {
		p.out = s.l.packets.batch()
	}
}

// call is the Handler's run, without the lock.
func (p *Packets) call() {
	returned := false
	defer func() {
		if !returned {
			go p.abandoned(p.s.l) // on a goroutine of its own, as in outside
		}
	}()
	l := p.s.l
	p.s.handler.Serve(p)
	l.unlockThread() // the driver must stay free to change threads
	returned = true
}

// abandoned is finish for a Handler that has ended its goroutine.
func (p *Packets) abandoned(l *loop) {
	l.mu.Lock()
	p.finish()
	l.mu.Unlock()
}

// finish takes back what the Handler had, with the lock, and queues what it has
// answered.
func (p *Packets) finish() {
	s := p.s
	l := s.l
	pl := l.packets
	if p.slot >= 0 {
		pl.receivedAll(p.slot, p.n)
	}
	if p.out.n > 0 {
		s.submit(p.out)
		p.out = nil
	}
	if s.serving--; s.peer.isClosed() {
		l.posted = append(l.posted, s.peer.end)
	}
	p.s, p.next, p.msg, p.data, p.rest = nil, 0, nil, nil, nil
	pl.idle = append(pl.idle, p)
	for _, s := range pl.starved {
		s.goOn()
	}
	clear(pl.starved)
	pl.starved = pl.starved[:0]
	pl.hold(-1)
	l.wake()
}

// receivedAll counts what is in slot, and gives that back.
func (pl *packetLoop) receivedAll(slot, n int32) {
	msgs := pl.sh.PacketsIn(slot, n)
	for i := range msgs {
		pl.l.stats.bytesIn += uint64(msgs[i].Len)
	}
	pl.in += countDatagrams(msgs)
	pl.freeSlot(slot, n)
}

// countDatagrams is how many datagrams msgs are.
func countDatagrams(msgs []poller.Packet) (n uint64) {
	for i := range msgs {
		n++
		if size := segmentSize(&msgs[i]); size > 0 {
			n += (uint64(msgs[i].Len)+uint64(size)-1)/uint64(size) - 1
		}
	}
	return n
}

// segmentSize is the size of the datagrams that a message is made of; 0: it is one.
func segmentSize(m *poller.Packet) int {
	control := controlOf(m)
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		n := int(h.Len)
		if n < unix.SizeofCmsghdr || n > len(control) {
			break
		}
		if h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && n >= unix.CmsgLen(2) {
			return int(binary.NativeEndian.Uint16(control[unix.CmsgLen(0):]))
		}
		control = control[min(unix.CmsgSpace(n-unix.CmsgLen(0)), len(control)):]
	}
	return 0
}

func controlOf(m *poller.Packet) []byte {
	if m.Controllen == 0 {
		return nil
	}
	return unsafe.Slice(m.Control, m.Controllen)
}

// Next goes to the next datagram, and reports whether there is one.
func (p *Packets) Next() bool {
	if len(p.rest) > 0 {
		n := min(p.segment, len(p.rest))
		p.data, p.rest = p.rest[:n:n], p.rest[n:]
		return true
	}
	if p.next == p.n {
		p.msg, p.data = nil, nil
		return false
	}
	p.msg = &p.s.l.packets.sh.PacketsIn(p.slot, p.n)[p.next]
	p.next++
	b := unsafe.Slice(p.msg.Iov.Base, p.msg.Len)
	if p.segment = segmentSize(p.msg); p.segment > 0 && p.segment < len(b) {
		p.data, p.rest = b[:p.segment:p.segment], b[p.segment:]
	} else {
		p.data = b[:len(b):len(b)]
	}
	return true
}

// Data is the datagram: memory of the loop, which may be written to.
func (p *Packets) Data() []byte { return p.data }

// Truncated reports whether the datagram was longer than Data, 64 KiB.
func (p *Packets) Truncated() bool { return p.msg.Flags&unix.MSG_TRUNC != 0 }

// Peer is who has sent the datagram, on UDP; as with package net, an address of IPv4
// is mapped where the socket is one of IPv6.
func (p *Packets) Peer() netip.AddrPort { return addrPortOf(p.peer()) }

// PeerAddr is Peer on any network, at the cost of allocations; nil: a unix peer
// without a name, who cannot be answered.
func (p *Packets) PeerAddr() net.Addr { return addrOf(p.peer()) }

func (p *Packets) peer() []byte { return unsafe.Slice(p.msg.Name, p.msg.Namelen) }

// Control is the control messages that came with the datagram, as WithControl has
// asked for them (IP_PKTINFO, IP_RECVTOS and so on), up to 128 bytes, in the kernel's
// format; UDP_GRO's may be among them.
func (p *Packets) Control() []byte { return controlOf(p.msg) }

// Reply queues b, which is copied, for the peer. False: it, or some before it, were
// dropped, as the queue is full, or b is longer than any datagram; Stats counts them.
// That a datagram was queued does not say that it arrives, nor that the kernel takes
// it.
func (p *Packets) Reply(b []byte) bool {
	if p.s.peer != nil { // the socket is connected to it
		return p.queue(nil, b, nil)
	}
	return p.queue(p.peer(), b, nil)
}

// Send queues b, which is copied, for any peer, with control messages in the kernel's
// format, of at most 96 bytes, if there are some. False as with Reply, or that there
// is no such peer on the socket's network.
func (p *Packets) Send(b []byte, to netip.AddrPort, control []byte) bool {
	if p.name.setAddrPort(p.s.family, to) != nil {
		return false
	}
	return p.queue(p.name.bytes(), b, control)
}

func (p *Packets) queue(name, b, control []byte) bool {
	fits := len(b) <= p.s.most && len(control) <= mostControl
	if fits && p.out.add(name, b, control, p.longest) {
		return true
	}
	l := p.s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	pl := l.packets
	if !fits {
		pl.dropped++
		return false
	}
	before := pl.dropped
	p.s.submit(p.out)
	p.out = pl.batch()
	p.out.add(name, b, control, p.longest)
	return pl.dropped == before
}

// mostControl is what a message has room for beside UDP_SEGMENT's.
const mostControl = batchControl - 32

// Addr is the address that the datagrams have come to.
func (p *Packets) Addr() net.Addr { return p.s.addr }

// Loop is the index of the loop that serves them.
func (p *Packets) Loop() int { return p.s.l.index }

// FD is the descriptor of the socket, for options of it; the loop reads and writes.
// -1: it has been closed meanwhile.
func (p *Packets) FD() int {
	l := p.s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(p.s.fd)
}
