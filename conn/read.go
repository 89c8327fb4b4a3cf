//go:build linux && (amd64 || arm64)

package conn

import (
	"io"
	"net"
	"os"
	"unsafe"
)

// Read reads up to len(p) bytes. It waits until there is at least one, the
// stream ends (io.EOF), the read deadline passes or the connection is closed; or
// until the write deadline has passed with something still to be sent. Errors other
// than io.EOF, and what a Handler has asked for (Burst.AtBoundary), are *net.OpError.
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
	in := &c.in
	for {
		if c.end.state != endOpen {
			return 0, net.ErrClosed, false
		}
		if c.readLate() {
			return 0, os.ErrDeadlineExceeded, false
		}
		switch {
		case len(p) == 0:
			return 0, nil, false
		case c.hasHadTurn():
			c.giveTurn()
			continue
		case len(in.buf) > 0:
			n := c.consume(p)
			c.charge(n)
			return n, nil, false
		case in.state == inReceiving: // another reader
		case in.late: // and what it brings is first
		case in.state == inEnded:
			err := in.reason()
			return 0, err, err == io.EOF
		case in.more:
			if n := c.receive(p); n > 0 {
				c.charge(n)
				return n, nil, false
			}
			continue
		case c.out.err == os.ErrDeadlineExceeded:
			return 0, c.out.err, false // of what Write had accepted
		case c.byWorker() && c.burst.boundary != nil:
			c.burst.over = true
			return 0, c.burst.boundary, true
		}
		c.await(&c.readers)
	}
}

// receive receives directly into p: the slot was full, or there was none.
func (c *Conn) receive(p []byte) int {
	f := c.l.getFrame(p)
	defer c.l.putFrame(f)
	f.Recv(c.fd, unsafe.Pointer(&p[0]), len(p))
	c.beginReceive()
	c.call(&f.Entry)
	c.endReceive(f.Ret, len(p))
	c.readers.wakeAll(c.l) // who waited for this receive to end
	return int(max(f.Ret, 0))
}

// WriteTo writes to w what c reads, until its stream ends.
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{c}, *buf)
}
