package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
)

// address is one that is listened on.
type address struct {
	flag    string // that it was given by
	text    string // as it was given
	where   string // HOST:PORT, or the path of a unix socket
	unix    bool
	systemd bool // it is systemd that listens, and where is the name of its socket; "": all
	secure  bool // TLS is spoken
}

// String is the flag as it was given.
func (a *address) String() string { return a.flag + "=" + a.text }

// addresses returns all addresses. Without a scheme in front TLS is spoken where there is
// a certificate.
func (s *serveCmd) addresses() (list []*address, err error) {
	add := func(flag, text string) error {
		a := &address{flag: flag, text: text, where: text, secure: s.hasTLS()}
		if rest, ok := strings.CutPrefix(text, "http://"); ok {
			a.where, a.secure = rest, false
		} else if rest, ok := strings.CutPrefix(text, "https://"); ok {
			if a.where, a.secure = rest, true; !s.hasTLS() {
				return fmt.Errorf("%s: TLS needs a certificate: give --tls-cert and --tls-key, or --acme", a)
			}
		}
		if name, ok := strings.CutPrefix(a.where+":", "systemd:"); ok {
			a.where, a.systemd = strings.TrimSuffix(name, ":"), true
		} else {
			a.where, a.unix = strings.CutPrefix(a.where, "unix:")
		}
		list = append(list, a)
		return a.check()
	}
	if err := add("--addr", s.Addr); err != nil {
		return nil, err
	}
	for _, text := range s.Listen {
		if err := add("--listen", text); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// hasTLS reports whether there are certificates.
func (s *serveCmd) hasTLS() bool { return s.TLSCert != "" || s.ACME != "" }

// mostPath is how long the path of a unix socket may be: a zero byte is behind it.
const mostPath = len(syscall.RawSockaddrUnix{}.Path) - 1

func (a *address) check() error {
	switch {
	case a.unix && a.where == "":
		return fmt.Errorf("%s names no socket: give a path, as in unix:/run/escahttp.sock", a)
	case a.unix && len(a.where) > mostPath:
		return fmt.Errorf("%s: the path of a socket has %d bytes at the most: choose a shorter one", a, mostPath)
	case a.unix, a.systemd:
		return nil
	case a.where == "":
		return fmt.Errorf("%s names no address: give HOST:PORT, such as :8080, or unix:PATH", a)
	}
	_, port, err := net.SplitHostPort(a.where)
	if err != nil {
		return fmt.Errorf("%s: give HOST:PORT, such as :8080 or [::1]:8080, or unix:PATH", a)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("%s: %q is no port: give a number up to 65535", a, port)
	}
	return nil
}

// checkAddresses looks at what can be seen to be wrong with the addresses.
func (s *serveCmd) checkAddresses() error {
	list, err := s.addresses()
	if err != nil {
		return err
	}
	if s.Admin != "" {
		a := s.adminAddress()
		if err := a.check(); err != nil {
			return err
		}
		list = append(list, a)
	}
	for i, a := range list {
		for _, b := range list[:i] {
			if a.where == b.where && a.unix == b.unix && a.systemd == b.systemd && !strings.HasSuffix(a.where, ":0") {
				return fmt.Errorf("%s is that of %s already: give another, or leave it out", a, b)
			}
		}
	}
	unix, secure := false, false
	for _, a := range list {
		unix, secure = unix || a.unix, secure || a.secure
	}
	switch {
	case s.SocketMode.set && !unix:
		return errors.New("--socket-mode is for unix sockets: give --addr=unix:PATH as well")
	case s.HTTPSRedirect && !secure && s.HTTPSPort == defaultHTTPSPort:
		return errors.New("--https-redirect leads nowhere: nothing speaks TLS here: give --tls-cert and --tls-key, or --acme, or the --https-port of the server that does")
	case s.HTTPSPort < 1 || s.HTTPSPort > 65535:
		return fmt.Errorf("--https-port=%d: give a port from 1 to 65535", s.HTTPSPort)
	}
	return nil
}

// adminAddress is --admin-addr.
func (s *serveCmd) adminAddress() *address {
	a := &address{flag: "--admin-addr", text: s.Admin}
	a.where, a.unix = strings.CutPrefix(s.Admin, "unix:")
	return a
}

// defaultHTTPSPort is the one that needs not be named.
const defaultHTTPSPort = 443
