//go:build linux && (amd64 || arm64)

package conn

import (
	"io"
	"os"
)

// Input is for Handlers: it takes what has come, without copying it and without
// waiting. b lies in the loop's memory, and is the caller's until the next Input
// or until Serve returns, whichever is first. more says that the socket may hold
// more, which TryRead gets. When nothing is left, err says what has ended the
// stream: io.EOF, or an *os.SyscallError of the read or write that failed. Only
// within Serve, and not together with Read.
func (c *Conn) Input() (b []byte, more bool, err error) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.giveBack()
	switch {
	case c.closed:
		return nil, false, errClosed
	case len(c.in) > 0:
		b = c.in
		c.in, c.lent, c.slot = nil, c.slot, -1
		if !c.more {
			c.unhold()
		}
		return b, c.more, nil
	case c.werr != 0:
		return nil, false, os.NewSyscallError("write", c.werr)
	case c.rerr != 0:
		return nil, false, os.NewSyscallError("read", c.rerr)
	case c.eof:
		return nil, false, io.EOF
	}
	return nil, c.more, nil
}

// giveBack ends the loan of the slot that Input has given out.
func (c *Conn) giveBack() {
	c.l.freeSlot(c.lent)
	c.lent = -1
}

// TryRead is for Handlers, after an Input with more to come: it receives into p
// what the socket holds, without waiting. Nothing, and no error, says that there
// is nothing at present, or that Input knows better.
//
// A connection that has more for p than fits into a slot does not go through slots
// any more, until it has less: its bytes would be copied once more for nothing.
func (c *Conn) TryRead(p []byte) int {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if len(p) == 0 || c.closed || c.receiving || len(c.in) > 0 || !c.more || c.eof || c.rerr != 0 {
		return 0
	}
	was := c.bulky
	c.bulky = true
	n := c.receive(p)
	// Nothing is what comes after a p that was filled exactly: it says nothing.
	c.bulky = n >= c.l.sh.SlotSize || n == 0 && was
	if !c.bulky && !c.unread() {
		c.unhold()
	}
	return n
}
