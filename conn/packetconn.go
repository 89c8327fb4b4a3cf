//go:build linux && (amd64 || arm64)

package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errMissingAddress is package net's, which it keeps to itself.
var errMissingAddress = errors.New("missing address")

// datagramConn is what *net.UDPConn and *net.UnixConn have in common.
type datagramConn interface {
	net.Conn
	net.PacketConn
	syscall.Conn
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
	File() (*os.File, error)
}

// PacketConn is a socket of datagrams for goroutines: a net.PacketConn, and where it
// is connected a net.Conn, with the methods of *net.UDPConn, and ReadBatch and
// WriteBatch. Any number of goroutines may use it at once. What they do is done at
// once: on no loop, as a goroutine that waits for a datagram would be one switch
// further from it. Errors of ICMP, deadlines and the rest are package net's.
type PacketConn struct {
	nc     datagramConn
	udp    *net.UDPConn // nc; nil: unixgram
	raw    syscall.RawConn
	family uint16
}

var (
	_ net.PacketConn = (*PacketConn)(nil)
	_ net.Conn       = (*PacketConn)(nil)
	_ syscall.Conn   = (*PacketConn)(nil)
)

// DialPacket connects a socket of datagrams to addr; network is udp, udp4, udp6 or
// unixgram. Only what comes from there is received, and that nobody is there
// (ECONNREFUSED) is reported by what is called next.
func DialPacket(network, addr string, opts ...Option) (*PacketConn, error) {
	o := buildOptions(opts)
	return dialPacket(context.Background(), &net.Dialer{Control: o.control}, network, addr)
}

// dialPacket is DialPacket with a dialer: its local address, control and deadlines.
func dialPacket(ctx context.Context, d *net.Dialer, network, addr string) (*PacketConn, error) {
	switch network {
	case "udp", "udp4", "udp6", "unixgram":
	default:
		return nil, fmt.Errorf("esca: dial %s %s: %w: use udp, udp4, udp6 or unixgram", network, addr, net.UnknownNetworkError(network))
	}
	nc, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c, err := newPacketConn(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return c, nil
}

// newPacketConn takes over a socket of package net.
func newPacketConn(nc any) (*PacketConn, error) {
	dc, ok := nc.(datagramConn)
	if !ok {
		return nil, fmt.Errorf("esca: a %T is no socket of datagrams", nc)
	}
	c := &PacketConn{nc: dc}
	c.udp, _ = nc.(*net.UDPConn)
	var err error
	if c.raw, err = dc.SyscallConn(); err != nil {
		return nil, err
	}
	var family int
	cerr := c.raw.Control(func(fd uintptr) { family, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN) })
	if err = errors.Join(cerr, err); err != nil {
		return nil, err
	}
	c.family = uint16(family)
	return c, nil
}

// ReadFrom receives a datagram; what of it does not fit into p is lost.
func (c *PacketConn) ReadFrom(p []byte) (int, net.Addr, error) { return c.nc.ReadFrom(p) }

// WriteTo sends p as a datagram, and waits where the socket is full.
func (c *PacketConn) WriteTo(p []byte, to net.Addr) (int, error) { return c.nc.WriteTo(p, to) }

// Read receives a datagram.
func (c *PacketConn) Read(p []byte) (int, error) { return c.nc.Read(p) }

// Write sends p as a datagram, if the socket is connected.
func (c *PacketConn) Write(p []byte) (int, error) { return c.nc.Write(p) }

// Close closes the socket; whoever waits for it gets net.ErrClosed.
func (c *PacketConn) Close() error { return c.nc.Close() }

// LocalAddr returns our address, a *net.UDPAddr or *net.UnixAddr.
func (c *PacketConn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr returns the peer's address, if the socket is connected; otherwise nil.
func (c *PacketConn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// SetDeadline sets both deadlines.
func (c *PacketConn) SetDeadline(t time.Time) error { return c.nc.SetDeadline(t) }

// SetReadDeadline sets when receiving gives up; it applies to who waits already.
func (c *PacketConn) SetReadDeadline(t time.Time) error { return c.nc.SetReadDeadline(t) }

// SetWriteDeadline sets when sending gives up waiting for room.
func (c *PacketConn) SetWriteDeadline(t time.Time) error { return c.nc.SetWriteDeadline(t) }

// SetReadBuffer sets SO_RCVBUF.
func (c *PacketConn) SetReadBuffer(bytes int) error { return c.nc.SetReadBuffer(bytes) }

// SetWriteBuffer sets SO_SNDBUF.
func (c *PacketConn) SetWriteBuffer(bytes int) error { return c.nc.SetWriteBuffer(bytes) }

// SyscallConn gives access to the descriptor.
func (c *PacketConn) SyscallConn() (syscall.RawConn, error) { return c.nc.SyscallConn() }

// File returns a duplicate of the descriptor, which the caller closes.
func (c *PacketConn) File() (*os.File, error) { return c.nc.File() }

// notUDP is what the methods of UDP return on a unix socket.
func (c *PacketConn) notUDP(op string) error {
	return &net.OpError{Op: op, Net: "unixgram", Source: c.LocalAddr(), Err: errors.New("not a socket of UDP: use ReadFrom and WriteTo")}
}

// ReadFromUDP is ReadFrom with the address as it is.
func (c *PacketConn) ReadFromUDP(p []byte) (int, *net.UDPAddr, error) {
	if c.udp == nil {
		return 0, nil, c.notUDP("read")
	}
	return c.udp.ReadFromUDP(p)
}

// ReadFromUDPAddrPort is ReadFrom, without allocations.
func (c *PacketConn) ReadFromUDPAddrPort(p []byte) (int, netip.AddrPort, error) {
	if c.udp == nil {
		return 0, netip.AddrPort{}, c.notUDP("read")
	}
	return c.udp.ReadFromUDPAddrPort(p)
}

// ReadMsgUDP receives a datagram and its control messages; flags are recvmsg's,
// as MSG_TRUNC.
func (c *PacketConn) ReadMsgUDP(p, oob []byte) (n, oobn, flags int, from *net.UDPAddr, err error) {
	if c.udp == nil {
		return 0, 0, 0, nil, c.notUDP("read")
	}
	return c.udp.ReadMsgUDP(p, oob)
}

// ReadMsgUDPAddrPort is ReadMsgUDP, without allocations.
func (c *PacketConn) ReadMsgUDPAddrPort(p, oob []byte) (n, oobn, flags int, from netip.AddrPort, err error) {
	if c.udp == nil {
		return 0, 0, 0, netip.AddrPort{}, c.notUDP("read")
	}
	return c.udp.ReadMsgUDPAddrPort(p, oob)
}

// WriteToUDP is WriteTo.
func (c *PacketConn) WriteToUDP(p []byte, to *net.UDPAddr) (int, error) {
	if c.udp == nil {
		return 0, c.notUDP("write")
	}
	return c.udp.WriteToUDP(p, to)
}

// WriteToUDPAddrPort is WriteTo, without allocations.
func (c *PacketConn) WriteToUDPAddrPort(p []byte, to netip.AddrPort) (int, error) {
	if c.udp == nil {
		return 0, c.notUDP("write")
	}
	return c.udp.WriteToUDPAddrPort(p, to)
}

// WriteMsgUDP sends a datagram with control messages; to is nil if the socket is
// connected.
func (c *PacketConn) WriteMsgUDP(p, oob []byte, to *net.UDPAddr) (n, oobn int, err error) {
	if c.udp == nil {
		return 0, 0, c.notUDP("write")
	}
	return c.udp.WriteMsgUDP(p, oob, to)
}

// WriteMsgUDPAddrPort is WriteMsgUDP, without allocations.
func (c *PacketConn) WriteMsgUDPAddrPort(p, oob []byte, to netip.AddrPort) (n, oobn int, err error) {
	if c.udp == nil {
		return 0, 0, c.notUDP("write")
	}
	return c.udp.WriteMsgUDPAddrPort(p, oob, to)
}
