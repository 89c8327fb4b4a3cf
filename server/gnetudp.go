//go:build linux && (amd64 || arm64)

package server

import (
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/socket"

	"github.com/escahttp/esca/conn"
)

// gnetUDP is a udp address: the conn.PacketHandler of its loops, which are others than
// those of the streams. Where all callbacks are to come one at a time they are run on the
// first loop there is, all of a tick at once.
type gnetUDP struct {
	e     *gnetEngine
	ln    *conn.PacketListener
	loops []*gnetLoop
}

// listenUDP opens the udp addresses.
func (e *gnetEngine) listenUDP() error {
	for _, a := range e.set.datagrams {
		ln, err := conn.ListenPacket(a.network, a.address, append(e.set.packetOptions(), e.g.opts...)...)
		if err != nil {
			return err
		}
		u := &gnetUDP{e: e, ln: ln}
		for i := range ln.Loops() {
			u.loops = append(u.loops, &gnetLoop{e, ln, i})
		}
		e.udp = append(e.udp, u)
	}
	return nil
}

// packetOptions says to package conn what the options ask for, for the udp addresses.
func (s *gnetSettings) packetOptions() []conn.Option {
	opts := []conn.Option{
		conn.WithLoops(s.NumEventLoop),
		conn.WithDispatch(conn.DispatchDirect),
		conn.WithSteals(s.NumEventLoop > 1),
		conn.WithLogger(gnetLog{s.Logger}),
		conn.WithPacketSockets(s.openUDP),
	}
	if s.LockOSThread {
		opts = append(opts, conn.WithThreads())
	}
	return opts
}

// openUDP opens a socket as gnet does: others may share the port, and the group of a
// multicast address is joined.
func (s *gnetSettings) openUDP(network, addr string) (net.PacketConn, error) {
	ints := []socket.Option[int]{{SetSockOpt: socket.SetReuseport, Opt: 1}}
	if s.ReuseAddr {
		ints = append(ints, socket.Option[int]{SetSockOpt: socket.SetReuseAddr, Opt: 1})
	}
	set := func(fd, _ int) error { return s.setSocketOptions(fd, false) }
	ints = append(ints, socket.Option[int]{SetSockOpt: set})
	if a, err := net.ResolveUDPAddr(network, addr); err == nil && a.IP.IsMulticast() {
		if join := socket.SetMulticastMembership(network, a); join != nil {
			ints = append(ints, socket.Option[int]{SetSockOpt: join, Opt: s.MulticastInterfaceIndex})
		}
	}
	fd, _, err := socket.UDPSocket(network, addr, false, ints, nil)
	if err != nil {
		return nil, fmt.Errorf("esca: listen %s %s: %w", network, addr, err)
	}
	f := os.NewFile(uintptr(fd), "esca udp")
	defer f.Close()
	return net.FilePacketConn(f)
}

// Serve is conn.PacketHandler's.
func (u *gnetUDP) Serve(p *conn.Packets) { u.e.alone(func() { u.serve(p) }) }

func (u *gnetUDP) serve(p *conn.Packets) {
	for p.Next() && !u.e.closed.Load() {
		c := &gnetDatagram{gnetPackets: gnetPackets{sock: u.ln, loop: u.loops[p.Loop()]}, peer: p.Peer()}
		c.p, c.in = p, p.Data()
		action := u.e.g.h.OnTraffic(c)
		c.enter(nil)
		c.in = nil
		if action == gnet.Shutdown {
			u.e.shutdown()
			return
		}
	}
}

// udpAt is the udp address given as addr; nil: there is none.
func (e *gnetEngine) udpAt(network, addr string) *gnetUDP {
	for i, a := range e.set.datagrams {
		if a.address == addr && strings.HasPrefix(a.network, network) {
			return e.udp[i]
		}
	}
	return nil
}

// errDropped is what a write returns where the kernel would not have taken a datagram
// of n bytes, or has no room.
func errDropped(n int) error {
	const most = 65507 // over IPv4
	if n > most {
		return unix.EMSGSIZE
	}
	return unix.ENOBUFS
}
