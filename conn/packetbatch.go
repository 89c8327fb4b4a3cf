//go:build linux && (amd64 || arm64)

package conn

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// What a batch holds.
const (
	batchMessages = 64
	batchBytes    = 128 << 10
	batchControl  = 128 // bytes of a message's control messages
)

// Bounds of UDP_SEGMENT: several datagrams that the kernel takes as one message.
const (
	mostSegments   = 64    // UDP_MAX_SEGMENTS of older kernels
	mostSegmented  = 65507 // bytes of all of them: one datagram's, over IPv4
	longestSegment = 1452  // a datagram that is longer does not fit an Ethernet frame, and UDP_SEGMENT does not cut it
)

// longestOf is what no datagram on a socket of family is longer than.
func longestOf(family uint16) int {
	switch family {
	case unix.AF_INET:
		return 65535 - 20 - 8 // with its headers no longer than IP's length can say
	case unix.AF_INET6:
		return 65535 - 8 // IPv6's does not count its own
	}
	return 65535
}

// segmentControl is what UDP_SEGMENT takes of a message's control messages.
var segmentControl = unix.CmsgSpace(2)

// packetBatch is what one sendmmsg sends: messages of one or, with UDP_SEGMENT,
// several datagrams each. It lies in Go's heap, which does not move, and whoever has
// recorded an entry with it keeps it reachable. What has pointers comes first, so
// that a collection need not look at the rest.
type packetBatch struct {
	msgs [batchMessages]poller.Packet
	iov  [batchMessages]unix.Iovec

	n      int  // messages
	sent   int  // the first of them have been, or have failed
	failed int  // messages in front of the last that could not be sent, and that one
	used   int  // of buf
	open   bool // the last message may be lengthened

	splitBy unix.Errno // by which they could not leave as one message; 0: they were never to

	size    [batchMessages]uint16 // of the first datagram of each
	count   [batchMessages]uint16 // of datagrams
	names   [batchMessages][poller.PacketName]byte
	control [batchMessages][batchControl]byte
	buf     [batchBytes]byte
}

func newPacketBatch() *packetBatch {
	b := new(packetBatch)
	for i := range b.msgs {
		m := &b.msgs[i]
		m.Iov, m.Name = &b.iov[i], &b.names[i][0]
		m.SetIovlen(1)
	}
	return b
}

func (b *packetBatch) empty() {
	b.n, b.sent, b.failed, b.used, b.open, b.splitBy = 0, 0, 0, 0, false, 0
}

// add copies a datagram p for name into b, with control messages if there are some.
// Datagrams of at most longest bytes may share a message with what was added before.
// False: it does not fit any more.
func (b *packetBatch) add(name, p, control []byte, longest int) bool {
	if len(p) > len(b.buf)-b.used {
		return false
	}
	if b.open && b.lengthen(name, p, control) {
		return true
	}
	if b.n == batchMessages {
		return false
	}
	i := b.n
	b.n++
	m := &b.msgs[i]
	b.iov[i].Base = &b.buf[min(b.used, batchBytes-1)]
	b.iov[i].SetLen(len(p))
	b.used += copy(b.buf[b.used:], p)
	m.Namelen = uint32(copy(b.names[i][:], name))
	m.Control = nil
	m.SetControllen(0)
	if len(control) > 0 {
		m.Control = &b.control[i][0]
		m.SetControllen(copy(b.control[i][:], control))
	}
	b.size[i], b.count[i] = uint16(len(p)), 1
	b.open = len(p) > 0 && len(p) <= longest
	return true
}

// lengthen adds p to the last message, if it is for the same peer and no longer than
// what is there already: the kernel cuts a message into datagrams of one size, of
// which only the last may be shorter.
func (b *packetBatch) lengthen(name, p, control []byte) bool {
	i := b.n - 1
	m := &b.msgs[i]
	own := int(m.Controllen)
	if b.count[i] > 1 {
		own -= segmentControl
	}
	switch {
	case len(p) == 0 || len(p) > int(b.size[i]) || b.count[i] == mostSegments || int(b.iov[i].Len)+len(p) > mostSegmented:
		return false
	case !bytes.Equal(b.names[i][:m.Namelen], name) || !bytes.Equal(b.control[i][:own], control):
		return false
	}
	if b.count[i] == 1 {
		b.segment(i)
	}
	b.iov[i].Len += uint64(copy(b.buf[b.used:], p))
	b.used += len(p)
	b.count[i]++
	b.open = len(p) == int(b.size[i])
	return true
}

// segment has message i leave as datagrams of the size of its first.
func (b *packetBatch) segment(i int) {
	m, c := &b.msgs[i], &b.control[i]
	at := int(m.Controllen)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&c[at]))
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(c[at+unix.CmsgLen(0):], b.size[i])
	m.Control = &c[0]
	m.SetControllen(at + segmentControl)
}

// split moves the datagrams of message i, one message each, into an empty batch.
func (b *packetBatch) split(i int, into *packetBatch) {
	m := &b.msgs[i]
	rest := unsafe.Slice(b.iov[i].Base, b.iov[i].Len)
	control := b.control[i][:int(m.Controllen)-segmentControl]
	for len(rest) > 0 {
		n := min(int(b.size[i]), len(rest))
		into.add(b.names[i][:m.Namelen], rest[:n], control, 0)
		rest = rest[n:]
	}
}

// record makes e the send of what is left.
func (b *packetBatch) record(e *poller.Entry, fd int32) {
	e.SendMMsg(fd, &b.msgs[b.sent], b.n-b.sent)
}

// datagrams is how many the first messages messages of what is left are, and how
// many bytes.
func (b *packetBatch) datagrams(messages int) (n, bytes uint64) {
	for i := b.sent; i < b.sent+messages; i++ {
		n += uint64(b.count[i])
		bytes += b.iov[i].Len
	}
	return n, bytes
}
