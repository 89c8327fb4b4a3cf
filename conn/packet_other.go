//go:build !(linux && (amd64 || arm64))

package conn

import (
	"context"
	"net"
)

// PacketListener is a socket of package net here: this system has no loops.
type PacketListener struct{ net.PacketConn }

// ListenPacket is net.ListenPacket here, or who WithPacketSockets has named.
func ListenPacket(network, addr string, opts ...Option) (*PacketListener, error) {
	o := buildOptions(opts)
	open := o.packetSocket
	if open == nil {
		lc := net.ListenConfig{Control: o.control}
		open = func(network, addr string) (net.PacketConn, error) {
			return lc.ListenPacket(context.Background(), network, addr)
		}
	}
	pc, err := open(network, addr)
	if err != nil {
		return nil, err
	}
	return &PacketListener{pc}, nil
}
