//go:build !(linux && (amd64 || arm64))

package conn

import (
	"context"
	"net"
)

// DialContext connects to address; network is tcp, tcp4, tcp6 or unix. The result is one
// of package net's: this system has no loops.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := checkStream(network); err != nil {
		return nil, err
	}
	return d.netDialer().DialContext(ctx, network, address)
}
