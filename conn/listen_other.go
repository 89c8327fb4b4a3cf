//go:build !(linux && (amd64 || arm64))

package conn

import (
	"context"
	"errors"
	"net"
	"os"
)

// Listener is a listener of package net here: this system has no loops.
type Listener struct{ net.Listener }

// Listen is net.Listen here.
func Listen(network, addr string, opts ...Option) (*Listener, error) {
	o := buildOptions(opts)
	lc := net.ListenConfig{KeepAlive: -1, Control: o.control}
	if o.keepAlive > 0 {
		lc.KeepAlive = o.keepAlive
	}
	ln, err := lc.Listen(context.Background(), network, addr)
	if err != nil {
		return nil, err
	}
	return &Listener{ln}, nil
}

// FromFiles listens on the first of the sockets, by package net.
func FromFiles(files []*os.File, opts ...Option) (*Listener, error) {
	if len(files) == 0 {
		return nil, errors.New("esca: FromFiles needs a listening socket")
	}
	ln, err := net.FileListener(files[0])
	if err != nil {
		return nil, err
	}
	return &Listener{ln}, nil
}

// Files returns a duplicate of the listening socket, which the caller closes.
func (ln *Listener) Files() ([]*os.File, error) {
	inner, ok := ln.Listener.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, errors.ErrUnsupported
	}
	f, err := inner.File()
	return []*os.File{f}, err
}

// SetUnlinkOnClose sets whether Close removes the file of a unix socket.
func (ln *Listener) SetUnlinkOnClose(unlink bool) {
	if ul, ok := ln.Listener.(*net.UnixListener); ok {
		ul.SetUnlinkOnClose(unlink)
	}
}
