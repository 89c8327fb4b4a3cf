//go:build linux && (amd64 || arm64)

package conn

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// openSockets opens the listening sockets: one for each loop on TCP, otherwise
// one that the loops share (a duplicate each). Options that connections inherit
// are set here, once, and not on every connection.
func openSockets(network, addr string, o *options) (fds []int32, la net.Addr, err error) {
	defer func() {
		if err != nil {
			closeAll(fds)
		}
	}()
	switch network {
	case "tcp", "tcp4", "tcp6":
	case "unix":
		fd, la, err := openUnix(addr, o)
		if err != nil {
			return nil, nil, err
		}
		fds = append(fds, fd)
		for range o.loops - 1 {
			dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				return fds, nil, os.NewSyscallError("dup", err)
			}
			fds = append(fds, int32(dup))
		}
		return fds, la, nil
	default:
		return nil, nil, fmt.Errorf("esca: listen %s %s: %w: use tcp, tcp4, tcp6 or unix", network, addr, net.UnknownNetworkError(network))
	}
	// The first socket without SO_REUSEPORT would refuse a port in use by
	// another program; with it, two servers could share a port unnoticed. So
	// one is bound alone first, to see.
	if !o.shared {
		if err := portFree(network, addr, o); err != nil {
			return nil, nil, err
		}
	}
	for range o.loops {
		fd, bound, err := openTCP(network, addr, o)
		if err != nil {
			return fds, nil, err
		}
		fds = append(fds, fd)
		if la == nil {
			la, addr = bound, bound.String() // a port chosen by the kernel is everyone's
		}
	}
	return fds, la, nil
}

// portFree reports why addr cannot be had for ourselves.
func portFree(network, addr string, o *options) error {
	lc := net.ListenConfig{Control: o.control}
	ln, err := lc.Listen(context.Background(), network, addr)
	if err != nil {
		return err
	}
	return ln.Close()
}

// openTCP lets package net resolve, bind and name errors, and takes the
// descriptor out.
func openTCP(network, addr string, o *options) (int32, net.Addr, error) {
	lc := net.ListenConfig{
		KeepAlive: -1,
		Control: func(network, addr string, rc syscall.RawConn) (err error) {
			cerr := rc.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
				if err == nil {
					err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
				}
				if err == nil && o.keepAlive > 0 {
					err = setKeepAlive(int(fd), o.keepAlive)
				}
			})
			if cerr != nil {
				return cerr
			}
			if err == nil && o.control != nil {
				err = o.control(network, addr, rc)
			}
			return err
		},
	}
	ln, err := lc.Listen(context.Background(), network, addr)
	if err != nil {
		return -1, nil, err
	}
	defer ln.Close()
	fd, err := takeFD(ln, o)
	return fd, ln.Addr(), err
}

func openUnix(addr string, o *options) (int32, net.Addr, error) {
	lc := net.ListenConfig{Control: o.control}
	ln, err := lc.Listen(context.Background(), "unix", addr)
	if err != nil {
		return -1, nil, err
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	defer ln.Close()
	fd, err := takeFD(ln, o)
	return fd, ln.Addr(), err
}

// takeFD duplicates the descriptor of a listener of package net, which is then
// closed, and gives it the backlog.
func takeFD(ln net.Listener, o *options) (int32, error) {
	f, err := ln.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		return -1, err
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("dup", err)
	}
	unix.SetNonblock(fd, true)
	if err := unix.Listen(fd, o.backlog); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("listen", err)
	}
	return int32(fd), nil
}

// setKeepAlive turns probing on; a period of zero leaves the system's.
func setKeepAlive(fd int, period time.Duration) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if period <= 0 {
		return nil
	}
	for _, opt := range []int{unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL} {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, opt, max(seconds(period), 1)); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

func closeAll(fds []int32) {
	for _, fd := range fds {
		unix.Close(int(fd))
	}
}
