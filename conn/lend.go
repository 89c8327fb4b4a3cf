//go:build linux && (amd64 || arm64)

package conn

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Input takes what has come, without copying it and without waiting. p lies in the
// loop's memory, and is the caller's until the next Input or until Serve returns,
// whichever is first. more says that the socket may hold more, which TryRead gets.
// When nothing is left, err says what has ended the stream: io.EOF, or an
// *os.SyscallError of the read or write that failed, or os.ErrDeadlineExceeded if the
// write deadline has passed with something still to be sent. While the connection is
// paused there is nothing, or the error of a write. Only within Serve, and not together
// with Read.
func (b *Burst) Input() (p []byte, more bool, err error) {
	c := b.Conn()
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	in, o := &c.in, &c.out
	c.freeSlot(&in.lent)
	switch {
	case c.end.state != endOpen:
		return nil, false, net.ErrClosed
	case c.burst.paused && o.state != outFailed:
		return nil, false, nil
	case len(in.buf) > 0 && !c.burst.paused:
		p = in.buf
		in.buf, in.lent, in.slot = nil, in.slot, -1
		c.burst.news = true
		if in.state == inHeld {
			c.settle()
		}
		return p, in.more, nil
	case o.state == outFailed:
		return nil, false, syscallError("write", o.err)
	case in.state == inEnded:
		return nil, false, syscallError("read", in.reason())
	}
	return nil, in.more, nil
}

// Unread puts back p, which Read has read: the next Read gets it first. p is copied.
// The Handler's own calls only.
func (b *Burst) Unread(p []byte) {
	c := b.Conn()
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if len(p) == 0 || c.end.state != endOpen {
		return
	}
	in := &c.in
	in.buf = append(append(make([]byte, 0, len(p)+len(in.buf)), p...), in.buf...)
	c.freeSlot(&in.slot)
	c.hold()
	c.burst.news = true
}

// syscallError wraps what the system has said, and leaves everything else.
func syscallError(call string, err error) error {
	if errno, ok := err.(unix.Errno); ok {
		return os.NewSyscallError(call, errno)
	}
	return err
}

// TryRead is for after an Input with more to come: it receives into p what the
// socket holds, without waiting. Nothing, and no error, says that there is nothing at
// present, or that Input knows better.
//
// A connection that has more for p than fits into a slot does not go through slots
// any more, until it has less: its bytes would be copied once more for nothing.
func (b *Burst) TryRead(p []byte) int {
	c := b.Conn()
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	in := &c.in
	if len(p) == 0 || c.burst.paused || c.end.state != endOpen || in.state == inReceiving || in.state == inEnded || in.late || len(in.buf) > 0 || !in.more {
		return 0
	}
	was := in.bulky
	in.bulky = true
	n := c.receive(p)
	// Nothing is what comes after a p that was filled exactly: it says nothing.
	if in.bulky = n >= c.l.sh.SlotSize || n == 0 && was; !in.bulky && in.state == inHeld {
		c.settle()
	}
	return n
}
