//go:build linux && (amd64 || arm64)

package conn

import (
	"net"

	"golang.org/x/sys/unix"
)

// Close closes c: what waits in Read or Write returns with net.ErrClosed, what
// was written before is still sent, within the linger limit, and then the
// descriptor is closed. If the peer has sent what was not read, it is discarded
// until the peer ends its side, because closing at once would have the kernel
// reset the connection and the peer lose the answer. Closing twice is not an
// error.
func (c *Conn) Close() error {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if c.end.state == endOpen && !(c.byWorker() && c.burst.over) {
		c.close()
	}
	return nil
}

// CloseWrite ends the stream to the peer, after what is queued.
func (c *Conn) CloseWrite() error {
	c.l.mu.Lock()
	if c.end.state != endOpen {
		c.l.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	defer c.l.mu.Unlock()
	if c.out.fin == finNone {
		c.out.fin = finWanted
		c.dirty()
	}
	return nil
}

// CloseRead has the kernel take nothing more from the peer; Read reports io.EOF
// after what has come.
func (c *Conn) CloseRead() error {
	return c.control("close", func(fd int) error { return unix.Shutdown(fd, unix.SHUT_RD) })
}
