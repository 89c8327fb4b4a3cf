//go:build linux && (amd64 || arm64)

package server

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
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

// gnetSocketUDP is a conn.PacketListener or a conn.PacketPeer.
type gnetSocketUDP interface {
	LocalAddr() net.Addr
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
	SyscallConn() (syscall.RawConn, error)
	File() (*os.File, error)
}

// gnetPackets is what the gnet.Conn of a datagram and that of a connected socket have in
// common.
type gnetPackets struct {
	gnetReader // what OnTraffic has not read
	sock       gnetSocketUDP
	loop       *gnetLoop
	ctx        any
	safeCtx    atomic.Pointer[any]

	mu sync.Mutex
	p  *conn.Packets // what OnTraffic runs for; nil: it has returned
}

// enter has what is sent go with p's answers, until it is called with nil.
func (c *gnetPackets) enter(p *conn.Packets) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p = p
}

// send queues b by reply, while OnTraffic runs, with what else that answers; else by late.
func (c *gnetPackets) send(b []byte, reply func(p *conn.Packets) bool, late func() (int, error)) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.p != nil {
		if !reply(c.p) {
			return 0, errDropped(len(b))
		}
		return len(b), nil
	}
	n, err := late()
	return n, bare(err)
}

// bare is the system's error that err wraps, as gnet's are, or err.
func bare(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// SendTo implements gnet.Writer: it sends a datagram to anybody.
func (c *gnetPackets) SendTo(b []byte, addr net.Addr) (int, error) {
	to, ok := addr.(*net.UDPAddr)
	if !ok || to == nil || len(to.IP) == 0 {
		return 0, gneterrors.ErrInvalidNetworkAddress
	}
	local, _ := c.sock.LocalAddr().(*net.UDPAddr)
	if local != nil && local.IP.To4() != nil && to.IP.To4() == nil {
		return 0, unix.EAFNOSUPPORT // the socket is one of IPv4
	}
	ap := to.AddrPort()
	return c.send(b, func(p *conn.Packets) bool { return p.Send(b, ap, nil) },
		func() (int, error) { return c.sock.WriteToUDPAddrPort(b, ap) })
}

// Writev implements gnet.Writer, which has it refused for datagrams.
func (c *gnetPackets) Writev([][]byte) (int, error) { return 0, gneterrors.ErrUnsupportedOp }

// AsyncWritev implements gnet.Writer, which has it refused.
func (c *gnetPackets) AsyncWritev([][]byte, gnet.AsyncCallback) error {
	return gneterrors.ErrUnsupportedOp
}

// ReadFrom implements gnet.Writer. It is refused; gnet keeps what it reads, and never
// sends it.
func (c *gnetPackets) ReadFrom(io.Reader) (int64, error) { return 0, gneterrors.ErrUnsupportedOp }

// Flush implements gnet.Writer: what is written leaves when OnTraffic has returned for
// all that has come.
func (c *gnetPackets) Flush() error { return nil }

// OutboundBuffered implements gnet.Writer.
func (c *gnetPackets) OutboundBuffered() int { return 0 }

// LocalAddr implements gnet.Conn: it is the socket's.
func (c *gnetPackets) LocalAddr() net.Addr { return c.sock.LocalAddr() }

// EventLoop implements gnet.Conn.
func (c *gnetPackets) EventLoop() gnet.EventLoop { return c.loop }

// Context implements gnet.Conn.
func (c *gnetPackets) Context() any { return c.ctx }

// SetContext implements gnet.Conn. Of a datagram nobody but the caller sees it: the next
// one has a Conn of its own.
func (c *gnetPackets) SetContext(ctx any) { c.ctx = ctx }

// SafeContext implements gnet.Conn.
func (c *gnetPackets) SafeContext() any {
	if p := c.safeCtx.Load(); p != nil {
		return *p
	}
	return nil
}

// SetSafeContext implements gnet.Conn.
func (c *gnetPackets) SetSafeContext(ctx any) { c.safeCtx.Store(&ctx) }

// Dup implements gnet.Socket.
func (c *gnetPackets) Dup() (int, error) { return dupFile(c.sock) }

// SetReadBuffer implements gnet.Socket, of a datagram for every socket of the address.
func (c *gnetPackets) SetReadBuffer(bytes int) error { return c.sock.SetReadBuffer(bytes) }

// SetWriteBuffer implements gnet.Socket, of a datagram for every socket of the address.
func (c *gnetPackets) SetWriteBuffer(bytes int) error { return c.sock.SetWriteBuffer(bytes) }

// SetLinger implements gnet.Socket; the kernel takes it, and it does nothing.
func (c *gnetPackets) SetLinger(sec int) error {
	return c.control(func(fd int) error { return socket.SetLinger(fd, sec) })
}

// SetNoDelay implements gnet.Socket; the kernel refuses it.
func (c *gnetPackets) SetNoDelay(on bool) error {
	v := 0
	if on {
		v = 1
	}
	return c.control(func(fd int) error { return socket.SetNoDelay(fd, v) })
}

func (c *gnetPackets) control(f func(fd int) error) (err error) {
	rc, err := c.sock.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := rc.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

// SetKeepAlivePeriod implements gnet.Socket, which has it for tcp only.
func (c *gnetPackets) SetKeepAlivePeriod(time.Duration) error { return gneterrors.ErrUnsupportedOp }

// SetKeepAlive implements gnet.Socket, which has it for tcp only.
func (c *gnetPackets) SetKeepAlive(bool, time.Duration, time.Duration, int) error {
	return gneterrors.ErrUnsupportedOp
}

// SetDeadline implements gnet.Conn. A datagram has none.
func (c *gnetPackets) SetDeadline(time.Time) error { return gneterrors.ErrUnsupportedOp }

// SetReadDeadline implements gnet.Conn.
func (c *gnetPackets) SetReadDeadline(time.Time) error { return gneterrors.ErrUnsupportedOp }

// SetWriteDeadline implements gnet.Conn.
func (c *gnetPackets) SetWriteDeadline(time.Time) error { return gneterrors.ErrUnsupportedOp }
