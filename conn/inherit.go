//go:build linux && (amd64 || arm64)

package conn

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// FromFiles listens on sockets that were opened elsewhere, as by another process that hands
// them on: one, or several of the same address (SO_REUSEPORT). They are duplicated: files
// stay the caller's. There are as many loops as sockets at least, so that each is accepted
// from. Close leaves the file of a unix socket where it is; see SetUnlinkOnClose.
func FromFiles(files []*os.File, opts ...Option) (*Listener, error) {
	if len(files) == 0 {
		return nil, errors.New("esca: FromFiles needs a listening socket")
	}
	inner, err := net.FileListener(files[0]) // which sees that it is one
	if err != nil {
		return nil, err
	}
	addr := inner.Addr()
	if ul, ok := inner.(*net.UnixListener); ok {
		ul.SetUnlinkOnClose(false)
	}
	inner.Close()
	o := buildOptions(opts)
	o.loops = max(o.loops, len(files))
	return takeOver(files, addr, o)
}

// Files returns duplicates of the listening sockets, for another process to go on with,
// which the caller closes: on TCP those of all loops, on a unix socket the one that they
// share.
func (ln *Listener) Files() (files []*os.File, err error) {
	ln.fdsMu.Lock()
	defer ln.fdsMu.Unlock()
	if len(ln.fds) == 0 {
		return nil, ln.closedError("file")
	}
	socks := ln.fds
	if ln.network == "unix" {
		socks = socks[:1]
	}
	for _, s := range socks {
		fd, err := unix.FcntlInt(uintptr(s), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, &net.OpError{Op: "file", Net: ln.network, Addr: ln.addr, Err: os.NewSyscallError("dup", err)}
		}
		ln.lingers.Store(true)
		files = append(files, os.NewFile(uintptr(fd), "esca listener"))
	}
	return files, nil
}

// SetUnlinkOnClose sets whether Close removes the file of a unix socket, as it does by
// itself where Listen has made it: not if another process goes on with the socket.
func (ln *Listener) SetUnlinkOnClose(unlink bool) {
	if ln.network != "unix" {
		return
	}
	ln.fdsMu.Lock()
	defer ln.fdsMu.Unlock()
	if ln.unlink = ""; unlink {
		ln.unlink = socketFile(ln.addr)
	}
}
