//go:build linux && (amd64 || arm64)

package server

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/socket"

	"github.com/escahttp/esca/conn"
)

// gnetDatagram is the gnet.Conn of a datagram. What is read of it is good until
// OnTraffic returns; it may be answered later as well, by any goroutine.
type gnetDatagram struct {
	gnetReader
	u    *gnetUDP
	loop *gnetLoop
	peer netip.AddrPort
	ctx  any

	mu     sync.Mutex
	p      *conn.Packets // nil: OnTraffic has returned
	remote *net.UDPAddr  // of peer, once somebody has asked

	safeCtx atomic.Pointer[any]
}

var _ gnet.Conn = (*gnetDatagram)(nil)

func (c *gnetDatagram) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p, c.in = nil, nil
}

// send queues b for to: with what else OnTraffic answers, while it runs.
func (c *gnetDatagram) send(b []byte, to netip.AddrPort) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.p != nil {
		if !c.p.Send(b, to, nil) {
			return 0, errDropped(len(b))
		}
		return len(b), nil
	}
	n, err := c.u.ln.WriteToUDPAddrPort(b, to)
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno // as gnet's, which wraps nothing
	}
	return n, err
}

// Write implements gnet.Writer: it answers the datagram with one.
func (c *gnetDatagram) Write(b []byte) (int, error) { return c.send(b, c.peer) }

// SendTo implements gnet.Writer: it sends a datagram to anybody.
func (c *gnetDatagram) SendTo(b []byte, addr net.Addr) (int, error) {
	to, ok := addr.(*net.UDPAddr)
	if !ok || to == nil || len(to.IP) == 0 {
		return 0, gneterrors.ErrInvalidNetworkAddress
	}
	local, _ := c.u.ln.LocalAddr().(*net.UDPAddr)
	if local != nil && local.IP.To4() != nil && to.IP.To4() == nil {
		return 0, unix.EAFNOSUPPORT // the socket is one of IPv4
	}
	return c.send(b, to.AddrPort())
}

// AsyncWrite implements gnet.Writer. As with gnet the callback is called before it
// returns.
func (c *gnetDatagram) AsyncWrite(b []byte, callback gnet.AsyncCallback) error {
	_, err := c.send(b, c.peer)
	if callback != nil {
		_ = callback(c, err)
	}
	return err
}

// Writev implements gnet.Writer, which has it refused for datagrams.
func (c *gnetDatagram) Writev([][]byte) (int, error) { return 0, gneterrors.ErrUnsupportedOp }

// AsyncWritev implements gnet.Writer, which has it refused.
func (c *gnetDatagram) AsyncWritev([][]byte, gnet.AsyncCallback) error {
	return gneterrors.ErrUnsupportedOp
}

// ReadFrom implements gnet.Writer. It is refused; gnet keeps what it reads, and never
// sends it.
func (c *gnetDatagram) ReadFrom(io.Reader) (int64, error) { return 0, gneterrors.ErrUnsupportedOp }

// Flush implements gnet.Writer: what is written leaves when OnTraffic has returned for
// all that has come.
func (c *gnetDatagram) Flush() error { return nil }

// OutboundBuffered implements gnet.Writer.
func (c *gnetDatagram) OutboundBuffered() int { return 0 }

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

// LocalAddr implements gnet.Conn: it is the socket's.
func (c *gnetDatagram) LocalAddr() net.Addr { return c.u.ln.LocalAddr() }

// RemoteAddr implements gnet.Conn: it is the sender's.
func (c *gnetDatagram) RemoteAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.remote == nil {
		c.remote = net.UDPAddrFromAddrPort(c.peer)
	}
	return c.remote
}

// EventLoop implements gnet.Conn.
func (c *gnetDatagram) EventLoop() gnet.EventLoop { return c.loop }

// Context implements gnet.Conn.
func (c *gnetDatagram) Context() any { return c.ctx }

// SetContext implements gnet.Conn. Nobody but the caller sees it: the next datagram
// has a Conn of its own.
func (c *gnetDatagram) SetContext(ctx any) { c.ctx = ctx }

// SafeContext implements gnet.Conn.
func (c *gnetDatagram) SafeContext() any {
	if p := c.safeCtx.Load(); p != nil {
		return *p
	}
	return nil
}

// SetSafeContext implements gnet.Conn.
func (c *gnetDatagram) SetSafeContext(ctx any) { c.safeCtx.Store(&ctx) }

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

// Dup implements gnet.Socket.
func (c *gnetDatagram) Dup() (int, error) { return dupFile(c.u.ln) }

// SetReadBuffer implements gnet.Socket, for every socket of the address.
func (c *gnetDatagram) SetReadBuffer(bytes int) error { return c.u.ln.SetReadBuffer(bytes) }

// SetWriteBuffer implements gnet.Socket, for every socket of the address.
func (c *gnetDatagram) SetWriteBuffer(bytes int) error { return c.u.ln.SetWriteBuffer(bytes) }

// SetLinger implements gnet.Socket; the kernel takes it, and it does nothing.
func (c *gnetDatagram) SetLinger(sec int) error {
	return c.control(func(fd int) error { return socket.SetLinger(fd, sec) })
}

// SetNoDelay implements gnet.Socket; the kernel refuses it.
func (c *gnetDatagram) SetNoDelay(on bool) error {
	v := 0
	if on {
		v = 1
	}
	return c.control(func(fd int) error { return socket.SetNoDelay(fd, v) })
}

func (c *gnetDatagram) control(f func(fd int) error) (err error) {
	rc, err := c.u.ln.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := rc.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

// SetKeepAlivePeriod implements gnet.Socket, which has it for tcp only.
func (c *gnetDatagram) SetKeepAlivePeriod(time.Duration) error { return gneterrors.ErrUnsupportedOp }

// SetKeepAlive implements gnet.Socket, which has it for tcp only.
func (c *gnetDatagram) SetKeepAlive(bool, time.Duration, time.Duration, int) error {
	return gneterrors.ErrUnsupportedOp
}

// SetDeadline implements gnet.Conn. A datagram has none.
func (c *gnetDatagram) SetDeadline(time.Time) error { return gneterrors.ErrUnsupportedOp }

// SetReadDeadline implements gnet.Conn.
func (c *gnetDatagram) SetReadDeadline(time.Time) error { return gneterrors.ErrUnsupportedOp }

// SetWriteDeadline implements gnet.Conn.
func (c *gnetDatagram) SetWriteDeadline(time.Time) error { return gneterrors.ErrUnsupportedOp }
