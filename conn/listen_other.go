//go:build !(linux && (amd64 || arm64))

package conn

import (
	"context"
	"net"
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
