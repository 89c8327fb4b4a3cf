//go:build linux && (amd64 || arm64)

package server

import (
	"net"
	"time"

	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/socket"
)

// Fd implements gnet.Socket; -1 once the connection is closed.
func (c *gnetConn) Fd() int { return c.b.FD() }

// Dup implements gnet.Socket.
func (c *gnetConn) Dup() (int, error) { return c.c.Dup() }

// SetReadBuffer implements gnet.Socket.
func (c *gnetConn) SetReadBuffer(bytes int) error { return c.c.SetReadBuffer(bytes) }

// SetWriteBuffer implements gnet.Socket.
func (c *gnetConn) SetWriteBuffer(bytes int) error { return c.c.SetWriteBuffer(bytes) }

// SetLinger implements gnet.Socket.
func (c *gnetConn) SetLinger(sec int) error { return c.c.SetLinger(sec) }

// SetNoDelay implements gnet.Socket.
func (c *gnetConn) SetNoDelay(on bool) error { return c.c.SetNoDelay(on) }

// SetKeepAlivePeriod implements gnet.Socket.
func (c *gnetConn) SetKeepAlivePeriod(d time.Duration) error {
	if c.isUnix() {
		return gneterrors.ErrUnsupportedOp
	}
	return c.control(func(fd int) error { return socket.SetKeepAlivePeriod(fd, int(d.Seconds())) })
}

// SetKeepAlive implements gnet.Socket.
func (c *gnetConn) SetKeepAlive(on bool, idle, interval time.Duration, count int) error {
	if c.isUnix() {
		return gneterrors.ErrUnsupportedOp
	}
	return c.control(func(fd int) error {
		return socket.SetKeepAlive(fd, on, int(idle.Seconds()), int(interval.Seconds()), count)
	})
}

// control runs f on the descriptor, which stays open meanwhile.
func (c *gnetConn) control(f func(fd int) error) (err error) {
	rc, err := c.c.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := rc.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

func (c *gnetConn) isUnix() bool { return c.c.LocalAddr().Network() == "unix" }

// LocalAddr implements gnet.Conn.
func (c *gnetConn) LocalAddr() net.Addr { return c.c.LocalAddr() }

// RemoteAddr implements gnet.Conn.
func (c *gnetConn) RemoteAddr() net.Addr { return c.c.RemoteAddr() }

// SetDeadline implements gnet.Conn, which gnet itself does not: both deadlines.
func (c *gnetConn) SetDeadline(t time.Time) error { return c.c.SetDeadline(t) }

// SetReadDeadline implements gnet.Conn: if t comes and nothing has come by then,
// the connection is closed, with os.ErrDeadlineExceeded for OnClose. It stands
// until it is set anew; a zero t is never.
func (c *gnetConn) SetReadDeadline(t time.Time) error { return c.c.SetReadDeadline(t) }

// SetWriteDeadline implements gnet.Conn: if t comes and something written is still
// to be sent, the connection is closed, with os.ErrDeadlineExceeded for OnClose;
// a Write after t returns that error. A zero t is never.
func (c *gnetConn) SetWriteDeadline(t time.Time) error { return c.c.SetWriteDeadline(t) }
