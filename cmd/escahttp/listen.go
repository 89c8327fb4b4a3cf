package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/escahttp/esca/conn"
)

// listening is an address that is listened on.
type listening struct {
	*conn.Listener
	*address
}

// sockets are how addresses come to be listened on, for one process.
type sockets struct {
	*serveCmd
	passed   []*os.File // by systemd
	upgrades *upgrades
	logger   conn.Logger // of what a loop cannot do
}

// listen opens all addresses.
func (s *sockets) listen() (all []listening, err error) {
	list, err := s.addresses()
	if err != nil {
		return nil, err
	}
	for _, a := range list {
		lns, err := s.listenOn(a)
		if err != nil {
			for _, l := range all {
				l.Close()
			}
			return nil, err
		}
		for _, ln := range lns {
			all = append(all, listening{ln, a})
		}
	}
	return all, nil
}

// listenOn opens a, or takes it over from systemd or from the process before.
func (s *sockets) listenOn(a *address) ([]*conn.Listener, error) {
	opts := []conn.Option{conn.WithLoops(s.Loops), conn.WithBackend(s.Backend), conn.WithKeepAlive(time.Minute), conn.WithLogger(s.logger)}
	if a.systemd {
		return s.listenPassed(a, opts)
	}
	files, err := s.upgrades.inherited(a)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a, err)
	}
	if len(files) > 0 {
		defer closeFiles(files)
		ln, err := conn.FromFiles(files, opts...)
		if err != nil {
			return nil, fmt.Errorf("%s, of the process before: %w", a, err)
		}
		ln.SetUnlinkOnClose(true)
		return []*conn.Listener{ln}, nil
	}
	ln, err := s.open(a, opts)
	if err != nil {
		return nil, err
	}
	if err := s.upgrades.keep(a, ln); err != nil {
		ln.Close()
		return nil, fmt.Errorf("%s: %w", a, err)
	}
	return []*conn.Listener{ln}, nil
}

// listenPassed listens on the sockets that systemd has passed for a, to this process or
// to the one before.
func (s *sockets) listenPassed(a *address, opts []conn.Option) (lns []*conn.Listener, err error) {
	files, err := s.upgrades.inherited(a)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a, err)
	}
	for _, f := range s.passed {
		if uc := udpOf(f); uc != nil { // for HTTP/3
			uc.Close()
			continue
		}
		if a.where == "" || f.Name() == a.where {
			files = append(files, f)
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: systemd has passed no such socket: start escahttp by a .socket unit (FileDescriptorName= is the name), or systemd-socket-activate", a)
	}
	for i, f := range files {
		ln, err := conn.FromFiles([]*os.File{f}, opts...)
		if err == nil && s.upgrades != nil {
			err = s.upgrades.AddFile(socketName(a, i), f)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", a, f.Name(), err)
		}
		lns = append(lns, ln)
	}
	return lns, nil
}

// open opens a.
func (s *sockets) open(a *address, opts []conn.Option) (*conn.Listener, error) {
	if a.unix {
		return s.listenUnix(a.where, opts)
	}
	ln, err := conn.Listen("tcp", a.where, opts...)
	if errors.Is(err, syscall.EMFILE) {
		return nil, fmt.Errorf("--loops=%d: there are not as many descriptors as that takes: give fewer, or raise the limit (ulimit -n)", s.Loops)
	}
	if err != nil {
		return nil, a.explain(err)
	}
	return ln, nil
}

// explain says what it means that a cannot be listened on.
func (a *address) explain(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use by another program: stop it, or choose another %s", a.where, a.flag)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s may not be listened on: ports below 1024 need the right to (CAP_NET_BIND_SERVICE), or choose another %s", a.where, a.flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s: that is no address of this machine", a)
	}
	return fmt.Errorf("%s: %w", a, err)
}

// listenUnix listens on the socket at path. One that a dead server has left is
// replaced; anything else that is there is not ours to remove.
func (s *serveCmd) listenUnix(path string, opts []conn.Option) (*conn.Listener, error) {
	if fi, err := os.Lstat(path); err == nil && !strings.HasPrefix(path, "@") {
		switch {
		case fi.Mode().Type() != os.ModeSocket:
			return nil, noSocket(path)
		case !abandoned(path):
			return nil, fmt.Errorf("unix:%s is in use by another program: stop it, or choose another path", path)
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("unix:%s is left from a program that has ended: %w", path, err)
		}
	}
	if s.SocketMode.set {
		// From the beginning: a mode set later comes too late for whoever
		// connects in between.
		defer umask(umask(int(0o777 &^ s.SocketMode.bits)))
	}
	ln, err := conn.Listen("unix", path, opts...)
	if err != nil {
		return nil, fmt.Errorf("unix:%s: %w", path, err)
	}
	return ln, nil
}

func noSocket(path string) error {
	return fmt.Errorf("unix:%s: there is a file that is no socket: remove it, or choose another path", path)
}

// abandoned reports whether nobody listens on the unix socket at path. One that
// may not be asked, or is too busy to answer, is somebody's.
func abandoned(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// listenAdmin listens for operators, on package net: they are few.
func listenAdmin(addr string, u *upgrades) (net.Listener, error) {
	network := "tcp"
	if path, isUnix := strings.CutPrefix(addr, "unix:"); isUnix {
		network, addr = "unix", path
	}
	ln, err := u.admin(network, addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("--admin-addr: %s is in use by another program: stop it, or choose another", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("--admin-addr: %w", err)
	}
	return ln, nil
}
