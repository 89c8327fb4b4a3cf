//go:build linux && (amd64 || arm64)

package conn

import (
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read reads up to len(p) bytes. It waits until there is at least one, the
// stream ends (io.EOF), the read deadline passes or the connection is closed.
// Errors other than io.EOF, and what a Handler has asked for (AtBoundary), are
// *net.OpError.
func (c *Conn) Read(p []byte) (int, error) {
	c.l.mu.Lock()
	n, err, bare := c.read(p)
	c.l.mu.Unlock()
	if err != nil && !bare {
		err = c.opError("read", err)
	}
	return n, err
}

// read is Read with the lock; bare: the error is to be reported as it is.
func (c *Conn) read(p []byte) (_ int, err error, bare bool) {
	for {
		if c.closed {
			return 0, errClosed, false
		}
		if c.readLate() {
			return 0, os.ErrDeadlineExceeded, false
		}
		switch {
		case len(p) == 0:
			return 0, nil, false
		case len(c.in) > 0:
			n := copy(p, c.in)
			if c.in = c.in[n:]; len(c.in) == 0 {
				c.in = nil
				c.freeSlot()
				if !c.more {
					c.unhold()
				}
			}
			return n, nil, false
		case c.receiving: // another reader
		case c.rerr != 0:
			return 0, c.rerr, false
		case c.eof:
			return 0, io.EOF, true
		case c.more:
			if n := c.receive(p); n > 0 {
				return n, nil, false
			}
			continue
		case c.byWorker() && c.boundary != nil:
			c.burstOver = true
			return 0, c.boundary, true
		}
		c.wait(&c.readers)
	}
}

// receive receives directly into p: the slot was full, or there was none.
func (c *Conn) receive(p []byte) int {
	c.hold()
	c.receiving, c.more = true, false
	f := c.l.takeFrame(p)
	e := &f.Entry
	e.Recv(c.fd, unsafe.Pointer(&p[0]), len(p))
	c.call(e)
	defer c.l.putFrame(f)
	c.receiving = false
	switch {
	case e.Ret > 0:
		c.l.stats.bytesIn += uint64(e.Ret)
		// A short receive has emptied the socket (epoll(7)), but the end of
		// the stream that follows it has no edge of its own.
		c.more = c.more || int(e.Ret) == len(p) || c.hup
		if !c.more {
			c.unhold()
		}
	case e.Ret == 0:
		c.eof = true
	case e.Ret == -int64(unix.EINTR):
		c.more = true
	case e.Ret == -int64(unix.EAGAIN):
		if !c.more { // no event came meanwhile
			c.unhold()
		}
	default:
		c.rerr = unix.Errno(-e.Ret)
	}
	c.readers.wakeAll(c.l) // who waited for this receive to end
	return int(max(e.Ret, 0))
}
