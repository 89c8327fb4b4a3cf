//go:build linux && (amd64 || arm64)

package conn

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Adopt makes a connection of package net, a *net.TCPConn or *net.UnixConn, one
// of a loop's. nc is closed; its descriptor lives on in the result, which is not
// served by the Handler.
func (ln *Listener) Adopt(nc net.Conn) (*Conn, error) {
	fd, peer, err := takeConn(nc)
	if err != nil {
		return nil, err
	}
	l := ln.group.nextLoop()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		unix.Close(int(fd))
		return nil, net.ErrClosed
	}
	l.load.Add(1)
	return l.register(fd, peer, &ln.origin, false), nil
}

// Enroll is Adopt for a connection that the Handler is to serve, on the loop
// given, as if it had been accepted: Handler.Open finds context attached to it.
// A loop below zero is the one that an accepted connection would go to.
func (ln *Listener) Enroll(loop int, nc net.Conn, context any) error {
	if ln.group.handler == nil {
		return errors.New("esca: Enroll needs a Listener that a Handler serves")
	}
	fd, peer, err := takeConn(nc)
	if err != nil {
		return err
	}
	l := ln.group.loopFor(loop, peer)
	if !l.post(func() {
		l.load.Add(1)
		c := l.register(fd, peer, &ln.origin, true)
		c.burst.context = context
		l.toOpen(c)
	}) {
		unix.Close(int(fd))
		return net.ErrClosed
	}
	return nil
}

// Execute has the loop given run f, which is user code: it may use any Conn, and
// if it blocks, the loop is taken from it. It reports false if the loop has
// ended. Any goroutine may call it.
func (ln *Listener) Execute(loop int, f func()) bool {
	return ln.group.loops[loop].execute(f)
}

// Do is Execute, and returns when f has run. If it is called by what the loop runs
// already, f runs at once.
func (ln *Listener) Do(loop int, f func()) bool { return ln.group.loops[loop].do(f) }

// takeConn closes nc, and returns its descriptor, which lives on.
func takeConn(nc net.Conn) (fd int32, peer sockaddr, err error) {
	fd, err = takeFDOf(nc)
	if err != nil {
		return -1, peer, err
	}
	sa, _ := unix.Getpeername(int(fd))
	peer, _ = sockaddrFrom(sa)
	return fd, peer, nil
}

// takeFDOf is takeConn without the peer.
func takeFDOf(nc net.Conn) (int32, error) {
	dup, err := dupOf(nc)
	if err != nil {
		return -1, err
	}
	nc.Close()
	unix.SetNonblock(dup, true)
	return int32(dup), nil
}

// dupOf returns a duplicate of nc's descriptor.
func dupOf(nc net.Conn) (dup int, err error) {
	switch nc := nc.(type) {
	case *net.TCPConn, *net.UnixConn: // which need no file for it
		return dupRaw(nc.(syscall.Conn))
	case interface{ File() (*os.File, error) }:
		f, err := nc.File()
		if err != nil {
			return -1, err
		}
		defer f.Close()
		dup, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		return dup, os.NewSyscallError("dup", err)
	}
	return -1, fmt.Errorf("esca: a %T cannot be adopted: give a *net.TCPConn or a *net.UnixConn", nc)
}

// dupRaw is dupOf by the descriptor itself; the socket stays non-blocking.
func dupRaw(c syscall.Conn) (dup int, err error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	cerr := rc.Control(func(fd uintptr) { dup, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if cerr != nil {
		return -1, cerr
	}
	return dup, os.NewSyscallError("dup", err)
}
