//go:build linux && (amd64 || arm64)

package conn

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// ErrInUse is what Serve returns on a Listener that is served, or accepted from,
// already. Nothing has changed for it then.
var ErrInUse = errors.New("esca: the listener is in use: Serve goes once, and not together with Accept")

// opError wraps err as package net does: Timeout and errors.Is see through it.
// Called without the lock.
func (c *Conn) opError(op string, err error) error {
	if errno, ok := err.(unix.Errno); ok {
		err = os.NewSyscallError(op, errno) // "read" and "write", as package net says
	}
	return &net.OpError{Op: op, Net: c.from.network, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
