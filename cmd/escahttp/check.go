package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/escahttp/esca/cmd/escahttp/internal/errlog"
)

// run opens all that serving needs, and says that it can be had, and what of it may surprise. It makes
// nothing on disk: whoever checks may be another user than who serves.
func (s *checkCmd) run(out *errlog.Log) error {
	s.dry = true
	c, err := s.open(out, nil, nil)
	if err != nil {
		return err
	}
	defer c.close(nil, lastWords)
	notes := append(c.surprises(), s.idle()...)
	notes = append(notes, c.bare()...)
	more, err := s.couldListen()
	if err != nil {
		return err
	}
	for _, note := range append(notes, more...) {
		out.Warnf("%s", note)
	}
	// It is this process that is confined, which ends.
	if err := (&site{serveCmd: &s.serveCmd, out: out}).confine(); err != nil {
		return err
	}
	from := "flags"
	if s.Config != "" {
		from = s.Config
	}
	fmt.Printf("%s: good: %s would be served on %s\n", from, rootName(s.Root), strings.TrimSpace(s.Addr+" "+strings.Join(s.Listen, " ")))
	return nil
}

func rootName(root string) string {
	if root == "" {
		return "the welcome site"
	}
	return root
}

// couldListen returns an error if an address cannot be listened on. One that is in use may be so by
// the escahttp that this is the next configuration of, and a low port may be for another user: those are notes.
func (s *serveCmd) couldListen() (notes []string, err error) {
	list, err := s.addresses()
	if err != nil {
		return nil, err
	}
	if s.Admin != "" {
		list = append(list, s.adminAddress())
	}
	held := make(map[*address]net.Listener) // together, as they would be
	defer func() {
		for _, ln := range held {
			ln.Close()
		}
	}()
	for _, a := range list {
		switch {
		case a.systemd:
		case a.unix && strings.HasPrefix(a.where, "@"):
		case a.unix:
			if fi, err := os.Lstat(a.where); err == nil {
				if fi.Mode().Type() != fs.ModeSocket {
					return nil, noSocket(a.where)
				}
				if !abandoned(a.where) {
					notes = append(notes, a.inUse())
				}
			}
			if err := couldMake(filepath.Dir(a.where)); err != nil {
				return nil, fmt.Errorf("%s: %w: choose a path in a folder that this user may write to", a, err)
			}
			if _, err := os.Stat(filepath.Dir(a.where)); err != nil {
				return nil, fmt.Errorf("%s: %w: make the folder, or choose another path", a, err)
			}
		default:
			ln, err := net.Listen("tcp", a.where)
			switch {
			case errors.Is(err, syscall.EACCES): // to who checks, perhaps not to who serves
				notes = append(notes, a.explain(err).Error())
			case errors.Is(err, syscall.EADDRINUSE):
				if other := a.within(held); other != nil {
					return nil, fmt.Errorf("%s overlaps %s: give another port, or leave one of them out", a, other)
				}
				notes = append(notes, a.inUse())
			case err != nil:
				return nil, a.explain(err)
			default:
				held[a] = ln
				if s.HTTP3 && a.secure && inUse(a.where) {
					notes = append(notes, fmt.Sprintf("--http3: the UDP port of %s is in use by another program: stop it, or leave --http3 out", a))
				}
			}
		}
	}
	return notes, nil
}

func (a *address) inUse() string {
	return fmt.Sprintf("%s is in use at present, perhaps by the escahttp that this is for", a)
}

// within returns one of held that is on the same port and of the same host, or either is of all; nil: none is.
func (a *address) within(held map[*address]net.Listener) *address {
	is, err := net.ResolveTCPAddr("tcp", a.where)
	if err != nil {
		return nil
	}
	all := func(ip net.IP) bool { return len(ip) == 0 || ip.IsUnspecified() }
	for other, ln := range held {
		if ta := ln.Addr().(*net.TCPAddr); ta.Port == is.Port && (all(ta.IP) || all(is.IP) || ta.IP.Equal(is.IP)) {
			return other
		}
	}
	return nil
}

// inUse reports whether somebody has the UDP address addr.
func inUse(addr string) bool {
	pc, err := net.ListenPacket("udp", addr)
	if err == nil {
		pc.Close()
	}
	return errors.Is(err, syscall.EADDRINUSE)
}

// couldAppend returns an error if the file at name cannot be appended to, or made.
func couldAppend(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|syscall.O_NONBLOCK, 0)
	switch {
	case err == nil:
		return f.Close()
	case errors.Is(err, syscall.ENXIO): // a pipe without a reader
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	dir := filepath.Dir(name)
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	return couldMake(dir)
}

// couldMake returns an error if nothing can be made in the folder dir, or where that would be made.
func couldMake(dir string) error {
	for {
		_, err := os.Stat(dir)
		if err == nil {
			break
		}
		up := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || up == dir {
			return err
		}
		dir = up
	}
	f, err := os.CreateTemp(dir, ".escahttp-check-*")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}
