//go:build linux && (amd64 || arm64)

package conn

import (
	"encoding/binary"
	"net"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// sockaddr is an address as the kernel gave it, small enough to keep with every
// connection; the net.Addr is made when somebody asks for it.
type sockaddr struct {
	ip     [16]byte
	scope  uint32
	port   uint16
	family uint16 // 0: none was given
}

// sockaddrOf reads the address of an accepted connection. The name of a unix
// peer, which hardly any has, is not kept.
func sockaddrOf(r *poller.Accepted) (s sockaddr) {
	if r.Len < 2 {
		return s
	}
	s.family = binary.NativeEndian.Uint16(r.Addr[:])
	switch s.family {
	case unix.AF_INET:
		s.port = binary.BigEndian.Uint16(r.Addr[2:])
		copy(s.ip[:4], r.Addr[4:8])
	case unix.AF_INET6:
		s.port = binary.BigEndian.Uint16(r.Addr[2:])
		copy(s.ip[:], r.Addr[8:24])
		s.scope = binary.NativeEndian.Uint32(r.Addr[24:])
	}
	return s
}

// sockaddrFrom converts what package unix returns.
func sockaddrFrom(sa unix.Sockaddr) (s sockaddr, name string) {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		s.family, s.port = unix.AF_INET, uint16(sa.Port)
		copy(s.ip[:4], sa.Addr[:])
	case *unix.SockaddrInet6:
		s.family, s.port, s.scope, s.ip = unix.AF_INET6, uint16(sa.Port), sa.ZoneId, sa.Addr
	case *unix.SockaddrUnix:
		s.family, name = unix.AF_UNIX, sa.Name
	}
	return s, name
}

// addr makes the net.Addr; like package net it shows a mapped address as IPv4.
func (s *sockaddr) addr(name string) net.Addr {
	switch s.family {
	case unix.AF_INET:
		return &net.TCPAddr{IP: net.IPv4(s.ip[0], s.ip[1], s.ip[2], s.ip[3]), Port: int(s.port)}
	case unix.AF_INET6:
		a := &net.TCPAddr{IP: append(net.IP(nil), s.ip[:]...), Port: int(s.port)}
		if s.scope != 0 {
			if ifi, err := net.InterfaceByIndex(int(s.scope)); err == nil {
				a.Zone = ifi.Name
			} else {
				a.Zone = strconv.Itoa(int(s.scope))
			}
		}
		return a
	}
	return &net.UnixAddr{Net: "unix", Name: name}
}

// RemoteAddr returns the address of the peer: a *net.TCPAddr, or a *net.UnixAddr
// without a name.
func (c *Conn) RemoteAddr() net.Addr {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	a := c.addresses()
	if a[1] == nil {
		a[1] = c.peer.addr("")
	}
	return a[1]
}

// LocalAddr returns our address. It is asked of the kernel when it is first
// wanted; if that is after the connection was closed, it is the listener's.
func (c *Conn) LocalAddr() net.Addr {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	a := c.addresses()
	if a[0] == nil {
		a[0] = c.from.addr
		if c.end.state < endClosing { // then the number may be another's
			if sa, err := unix.Getsockname(int(c.fd)); err == nil {
				s, name := sockaddrFrom(sa)
				a[0] = s.addr(name)
			}
		}
	}
	return a[0]
}

func (c *Conn) addresses() *[2]net.Addr {
	if c.addrs == nil {
		c.addrs = new([2]net.Addr)
	}
	return c.addrs
}
