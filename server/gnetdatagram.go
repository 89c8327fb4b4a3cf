//go:build linux && (amd64 || arm64)

package server

import (
	"net"
	"net/netip"

	"github.com/panjf2000/gnet/v2"

	"github.com/escahttp/esca/conn"
)

// gnetDatagram is the gnet.Conn of a datagram. What is read of it is good until
// OnTraffic returns; it may be answered later as well, by any goroutine.
type gnetDatagram struct {
	gnetPackets
	peer   netip.AddrPort
	remote *net.UDPAddr // of peer, once somebody has asked; mu
}

var _ gnet.Conn = (*gnetDatagram)(nil)

// Write implements gnet.Writer: it answers the datagram with one.
func (c *gnetDatagram) Write(b []byte) (int, error) {
	return c.send(b, func(p *conn.Packets) bool { return p.Reply(b) },
		func() (int, error) { return c.sock.WriteToUDPAddrPort(b, c.peer) })
}

// AsyncWrite implements gnet.Writer. As with gnet the callback is called before it
// returns.
func (c *gnetDatagram) AsyncWrite(b []byte, callback gnet.AsyncCallback) error {
	_, err := c.Write(b)
	if callback != nil {
		_ = callback(c, err)
	}
	return err
}

// Wake implements gnet.Conn: nothing but the callback comes of it, as with gnet.
func (c *gnetDatagram) Wake(callback gnet.AsyncCallback) error { return c.call(callback) }

// Close implements gnet.Conn: there is nothing to close.
func (c *gnetDatagram) Close() error { return nil }

// CloseWithCallback implements gnet.Conn.
func (c *gnetDatagram) CloseWithCallback(callback gnet.AsyncCallback) error { return c.call(callback) }

// call has callback run on the loop.
func (c *gnetDatagram) call(callback gnet.AsyncCallback) error {
	if callback != nil && !c.loop.run(func() { _ = callback(c, nil) }) {
		return errEngineInShutdown
	}
	return nil
}

// RemoteAddr implements gnet.Conn: it is the sender's.
func (c *gnetDatagram) RemoteAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.remote == nil {
		c.remote = net.UDPAddrFromAddrPort(c.peer)
	}
	return c.remote
}

// Fd implements gnet.Socket: the socket's, of which there is one for each loop; -1 once
// OnTraffic has returned.
func (c *gnetDatagram) Fd() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.p == nil {
		return -1
	}
	return c.p.FD()
}
