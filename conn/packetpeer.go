//go:build linux && (amd64 || arm64)

package conn

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// PacketPeer is a connected socket of datagrams that a loop serves: what its one peer
// sends goes to a PacketHandler, whose Packets answer him. Any goroutine may use it, to
// send as well. What it cannot send is dropped. An error of the socket, as that nobody is
// there (ECONNREFUSED), is told once, by Err or the next Write; Serve is called because of
// it too, with no datagram.
type PacketPeer struct {
	s      *packetSocket
	remote net.Addr
	failed atomic.Uint32 // a unix.Errno that nobody has been told of

	// Of the loop's lock.
	news   bool // Serve is to be called because of it
	closed bool // Close has been called
}

// EnrollPackets has h serve nc, which must be a connected *net.UDPConn or *net.UnixConn of
// datagrams, on the loop given, beside its connections; below zero it is any. nc is closed;
// its descriptor lives on in the PacketPeer, until that is closed: the loop does not end
// before. opened is called first, on the loop; if that cannot take the socket, with an error.
// Where it keeps the loop for long, h may be called meanwhile (WithSteals).
func (ln *Listener) EnrollPackets(loop int, nc net.Conn, h PacketHandler, opened func(*PacketPeer, error)) error {
	return ln.group.enrollPackets(loop, nc, h, opened)
}

// EnrollPackets is Listener's, beside the datagrams that are served already.
func (ln *PacketListener) EnrollPackets(loop int, nc net.Conn, h PacketHandler, opened func(*PacketPeer, error)) error {
	g := ln.serving.Load()
	if g == nil {
		return errors.New("esca: EnrollPackets needs a PacketListener that a PacketHandler serves: call Start first")
	}
	return g.enrollPackets(loop, nc, h, opened)
}

func (g *group) enrollPackets(loop int, nc net.Conn, h PacketHandler, opened func(*PacketPeer, error)) error {
	c, err := newPacketConn(nc)
	if err != nil {
		return err
	}
	local, remote := c.LocalAddr(), c.RemoteAddr()
	if remote == nil {
		return fmt.Errorf("esca: EnrollPackets needs a socket with a peer, and %v has none: use net.Dial or DialPacket", local)
	}
	fd, err := dupRaw(c.nc)
	if err != nil {
		return err
	}
	if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_DGRAM {
		unix.Close(fd)
		return fmt.Errorf("esca: EnrollPackets needs a socket of datagrams, and %v is none", local)
	}
	nc.Close()
	l := g.nextLoop()
	if loop >= 0 {
		l = g.loops[loop]
	}
	if !l.post(func() {
		s, err := l.addPeer(int32(fd), c.family, h, local, remote)
		if err != nil {
			unix.Close(fd)
		}
		l.outside(nil, func() {
			opened(s, err)
			l.unlockThread()
		})
	}) {
		unix.Close(fd)
		return net.ErrClosed
	}
	return nil
}

// peerSlots is how many slots a loop has for PacketPeers that is not one of datagrams only:
// one is used at a time, but for those of handlers that were left behind.
const peerSlots = 4

// addPeer registers fd. The driver calls it.
func (l *loop) addPeer(fd int32, family uint16, h PacketHandler, local, remote net.Addr) (*PacketPeer, error) {
	if l.packets == nil {
		sh, err := poller.NewShared(poller.Config{Entries: 1, Events: 2, Slots: peerSlots, SlotSize: packetMemory.SlotSize(), Arena: 1, MaxFD: 1})
		if err != nil {
			return nil, err
		}
		sh.LayOutPackets(packetMemory)
		l.packets = &packetLoop{l: l, sh: sh}
	}
	s, err := l.packets.add(h, local, fd, family)
	if err != nil {
		return nil, err
	}
	l.packets.peers++
	s.peer = &PacketPeer{s: s, remote: remote}
	return s.peer, nil
}

// others is how many of open are no sockets of datagrams.
func (pl *packetLoop) others(open int) int {
	switch {
	case pl == nil:
		return open
	case pl.ownsSlots():
		return 0
	}
	return open - pl.held
}

// unmap gives back what pl has received into, if that was not the loop's.
func (pl *packetLoop) unmap() {
	if pl != nil && !pl.ownsSlots() {
		pl.sh.Unmap()
	}
}

// fail tells of an error. A nil PacketPeer does not: of a socket with many peers nobody
// knows whose it is.
func (c *PacketPeer) fail(errno unix.Errno) {
	if c != nil {
		c.failed.Store(uint32(errno))
		c.news = true
		c.s.goOn()
		c.s.l.wake()
	}
}

// serveNews has the handler called for an error.
func (c *PacketPeer) serveNews() {
	if c != nil && c.news {
		if c.news = false; !c.closed {
			c.s.serve(-1, 0)
		}
	}
}

// Err returns the error that the socket has had, and nobody was told of.
func (c *PacketPeer) Err() error {
	if c.failed.Load() == 0 {
		return nil
	}
	if errno := unix.Errno(c.failed.Swap(0)); errno != 0 {
		return c.opError("write", os.NewSyscallError("sendmmsg", errno))
	}
	return nil
}

func (c *PacketPeer) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: c.s.addr.Network(), Source: c.s.addr, Addr: c.remote, Err: err}
}

// Write queues b, which is copied, for the peer: with what else the loop sends. Where the
// queue is full it is an error, ENOBUFS, and where b is longer than any datagram, EMSGSIZE.
func (c *PacketPeer) Write(b []byte) (int, error) { return c.write(nil, b) }

// WriteToUDPAddrPort is Write to somebody else, whose answers are not received.
func (c *PacketPeer) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	var name packetName
	if err := name.setAddrPort(c.s.family, to); err != nil {
		return 0, c.opError("write", err)
	}
	return c.write(name.bytes(), b)
}

func (c *PacketPeer) write(name, b []byte) (int, error) {
	if err := c.Err(); err != nil {
		return 0, err
	}
	l := c.s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	err := error(net.ErrClosed)
	if !c.closed {
		err = c.s.send(name, b)
	}
	if err != nil {
		return 0, c.opError("write", err)
	}
	return len(b), nil
}

// Close has the loop send what is queued, as far as the socket takes it, and close the
// socket; nothing is received any more. Where the PacketHandler is still serving what has
// come before, the loop does it when that returns, and what it answers leaves too.
func (c *PacketPeer) Close() error {
	l := c.s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.closed = true
	l.posted = append(l.posted, c.end)
	l.wake()
	return nil
}

// end closes the socket of a PacketPeer that is closed, unless its handler is serving: then
// finish has it called again. The driver calls it.
func (c *PacketPeer) end() {
	if c.s.serving == 0 && c.s.fd >= 0 {
		c.s.close()
		c.s.l.packets.peers--
	}
}

// isClosed reports whether nobody wants what comes.
func (c *PacketPeer) isClosed() bool { return c != nil && c.closed }

// LocalAddr returns our address.
func (c *PacketPeer) LocalAddr() net.Addr { return c.s.addr }

// RemoteAddr returns the peer's.
func (c *PacketPeer) RemoteAddr() net.Addr { return c.remote }

// Loop is the index of the loop that serves it.
func (c *PacketPeer) Loop() int { return c.s.l.index }

// FD is the descriptor of the socket, for options of it; the loop reads and writes.
// -1: it is closed.
func (c *PacketPeer) FD() int {
	fd := -1
	c.control(func(of int) error { fd = of; return nil })
	return fd
}

// SetReadBuffer sets SO_RCVBUF.
func (c *PacketPeer) SetReadBuffer(bytes int) error { return c.setInt(unix.SO_RCVBUF, bytes) }

// SetWriteBuffer sets SO_SNDBUF.
func (c *PacketPeer) SetWriteBuffer(bytes int) error { return c.setInt(unix.SO_SNDBUF, bytes) }

func (c *PacketPeer) setInt(opt, v int) error {
	return c.control(func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, v) })
}

// File returns a duplicate of the socket, which the caller closes. It receives what the
// loop has it receive: several datagrams as one message (UDP_GRO).
func (c *PacketPeer) File() (*os.File, error) {
	var dup int
	err := c.control(func(fd int) (err error) {
		dup, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(dup), "esca packets"), nil
}

// SyscallConn gives access to the socket, to Control only.
func (c *PacketPeer) SyscallConn() (syscall.RawConn, error) { return peerRawConn{c}, nil }

type peerRawConn struct{ c *PacketPeer }

func (r peerRawConn) Control(f func(fd uintptr)) error {
	return r.c.control(func(fd int) error { f(uintptr(fd)); return nil })
}

func (peerRawConn) Read(func(fd uintptr) bool) error  { return ErrInUse }
func (peerRawConn) Write(func(fd uintptr) bool) error { return ErrInUse }

// control runs f on the descriptor, which stays open meanwhile.
func (c *PacketPeer) control(f func(fd int) error) error {
	l := c.s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	err := error(net.ErrClosed)
	if !c.closed {
		err = f(int(c.s.fd))
	}
	if err != nil {
		return c.opError("set", err)
	}
	return nil
}
