//go:build linux && (amd64 || arm64)

package conn

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// packetName is the address of a peer as the kernel has it.
type packetName struct {
	b [poller.PacketName]byte
	n int
}

func (n *packetName) bytes() []byte { return n.b[:n.n] }

// familyOf is the family of a name; 0: the peer has none.
func familyOf(name []byte) uint16 {
	if len(name) < 2 {
		return unix.AF_UNSPEC
	}
	return binary.NativeEndian.Uint16(name)
}

// addrPortOf reads a name of UDP. As package net's, an address of IPv4 that has come
// over a socket of IPv6 is mapped.
func addrPortOf(name []byte) netip.AddrPort {
	switch familyOf(name) {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(name[4:8])), binary.BigEndian.Uint16(name[2:]))
	case unix.AF_INET6:
		ip := netip.AddrFrom16([16]byte(name[8:24]))
		if scope := binary.NativeEndian.Uint32(name[24:]); scope != 0 {
			ip = ip.WithZone(zones.name(scope))
		}
		return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(name[2:]))
	}
	return netip.AddrPort{}
}

// addrOf makes the net.Addr of a name; nil: the peer has none.
func addrOf(name []byte) net.Addr {
	switch familyOf(name) {
	case unix.AF_INET, unix.AF_INET6:
		return net.UDPAddrFromAddrPort(addrPortOf(name))
	case unix.AF_UNIX:
		if path := unixPath(name[2:]); path != "" {
			return &net.UnixAddr{Net: "unixgram", Name: path}
		}
	}
	return nil
}

// unixPath is the name of a unix socket as package net writes it.
func unixPath(b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case b[0] == 0: // abstract
		return "@" + string(b[1:])
	}
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// setAddrPort makes n the name of to for a socket of family.
func (n *packetName) setAddrPort(family uint16, to netip.AddrPort) error {
	ip := to.Addr()
	switch {
	case !to.IsValid():
		return errMissingAddress
	case family == unix.AF_INET:
		if ip = ip.Unmap(); !ip.Is4() {
			return &net.AddrError{Err: "non-IPv4 address", Addr: ip.String()}
		}
		a := ip.As4()
		n.n = unix.SizeofSockaddrInet4
		clear(n.b[:n.n])
		copy(n.b[4:], a[:])
	case family == unix.AF_INET6:
		a := ip.As16()
		n.n = unix.SizeofSockaddrInet6
		clear(n.b[:n.n])
		copy(n.b[8:], a[:])
		if zone := ip.Zone(); zone != "" {
			binary.NativeEndian.PutUint32(n.b[24:], zones.index(zone))
		}
	default:
		return &net.AddrError{Err: "not an address of this socket's network", Addr: to.String()}
	}
	binary.NativeEndian.PutUint16(n.b[:], family)
	binary.BigEndian.PutUint16(n.b[2:], to.Port())
	return nil
}

// setAddr makes n the name of to for a socket of family.
func (n *packetName) setAddr(family uint16, to net.Addr) error {
	switch to := to.(type) {
	case *net.UDPAddr:
		if to == nil {
			return errMissingAddress
		}
		ap := to.AddrPort()
		if !ap.Addr().IsValid() { // package net takes it for the host itself
			ap = netip.AddrPortFrom(netip.IPv6Unspecified(), ap.Port())
			if family == unix.AF_INET {
				ap = netip.AddrPortFrom(netip.IPv4Unspecified(), ap.Port())
			}
		}
		return n.setAddrPort(family, ap)
	case *net.UnixAddr:
		if to == nil {
			return errMissingAddress
		}
		if family != unix.AF_UNIX || len(to.Name) > len(unix.RawSockaddrUnix{}.Path)-1 {
			break
		}
		binary.NativeEndian.PutUint16(n.b[:], unix.AF_UNIX)
		n.n = 2 + copy(n.b[2:], to.Name)
		if to.Name != "" && to.Name[0] == '@' {
			n.b[2] = 0
		} else {
			n.b[n.n] = 0
			n.n++
		}
		return nil
	case nil:
		return errMissingAddress
	}
	return &net.AddrError{Err: "not an address of this socket's network", Addr: to.String()}
}

// zones keeps the names of network interfaces, which are asked of the kernel by
// several calls.
var zones = zoneNames{names: make(map[uint32]string)}

type zoneNames struct {
	mu    sync.Mutex
	names map[uint32]string
	until int64
}

// zonesLast is for how long a name is believed.
const zonesLast = time.Minute

func (z *zoneNames) name(index uint32) string {
	z.mu.Lock()
	defer z.mu.Unlock()
	if now := clockNow(); now > z.until {
		clear(z.names)
		z.until = now + int64(zonesLast)
	}
	name, ok := z.names[index]
	if !ok {
		name = strconv.Itoa(int(index))
		if ifi, err := net.InterfaceByIndex(int(index)); err == nil {
			name = ifi.Name
		}
		z.names[index] = name
	}
	return name
}

func (z *zoneNames) index(name string) uint32 {
	z.mu.Lock()
	for i, n := range z.names {
		if n == name && clockNow() <= z.until {
			z.mu.Unlock()
			return i
		}
	}
	z.mu.Unlock()
	if ifi, err := net.InterfaceByName(name); err == nil {
		return uint32(ifi.Index)
	}
	n, _ := strconv.ParseUint(name, 10, 32)
	return uint32(n)
}
