//go:build linux && (amd64 || arm64)

package conn

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

var errClosed = net.ErrClosed

// opError wraps err as package net does: Timeout and errors.Is see through it.
// Called without the lock.
func (c *Conn) opError(op string, err error) error {
	if errno, ok := err.(unix.Errno); ok {
		err = os.NewSyscallError(op, errno) // "read" and "write", as package net says
	}
	return &net.OpError{Op: op, Net: c.ln.network, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
