package main

import (
	"fmt"
	"net"
	"strings"
)

// reloads does so for each SIGHUP. Those that come while it is at it are one.
func (t *site) reloads() {
	for range t.hangups {
		t.reload()
	}
}

// reload does what SIGHUP asks for, and says what it has done.
func (t *site) reload() {
	did := []string{"files are looked at anew"}
	t.files.Forget()
	if t.access != nil {
		if err := t.access.Reopen(); err != nil {
			did = append(did, fmt.Sprintf("the access log goes on where it was (%v)", err))
		} else {
			did = append(did, "access log "+t.Log+" reopened")
		}
	}
	if t.certs != nil {
		if err := t.certs.Reload(); err != nil {
			did = append(did, fmt.Sprintf("the certificate is the one before (%v)", err))
		} else {
			did = append(did, "certificate "+t.certs.Name())
		}
	}
	t.out.Printf("reloaded: %s", strings.Join(did, "; "))
}

// announce says where, what and how to stop.
func (t *site) announce(ln net.Listener) {
	root := t.Root
	if root == "" {
		root = "the welcome site"
	}
	backend := "package net"
	if b, ok := ln.(interface{ Backend() string }); ok {
		backend = b.Backend()
	}
	t.out.Printf("serving %s on %s, %s; Ctrl-C stops", root, t.url(ln.Addr()), backend)
}

func (t *site) url(a net.Addr) string {
	scheme := "http"
	if t.certs != nil {
		scheme = "https"
	}
	ta, ok := a.(*net.TCPAddr)
	if !ok {
		return scheme + " at " + t.Addr
	}
	host := ta.IP.String()
	if ta.IP.IsUnspecified() {
		host = "localhost"
	}
	return fmt.Sprintf("%s://%s/", scheme, net.JoinHostPort(host, fmt.Sprint(ta.Port)))
}
