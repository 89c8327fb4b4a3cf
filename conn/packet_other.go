//go:build !(linux && (amd64 || arm64))

package conn

import (
	"context"
	"net"
)

// PacketListener is a socket of package net here: this system has no loops.
type PacketListener struct{ net.PacketConn }

// ListenPacket is net.ListenPacket here.
func ListenPacket(network, addr string, opts ...Option) (*PacketListener, error) {
	o := buildOptions(opts)
	lc := net.ListenConfig{Control: o.control}
	pc, err := lc.ListenPacket(context.Background(), network, addr)
	if err != nil {
		return nil, err
	}
	return &PacketListener{pc}, nil
}
