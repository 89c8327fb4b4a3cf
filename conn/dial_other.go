//go:build !(linux && (amd64 || arm64))

package conn

import (
	"context"
	"net"
)

// DialContext connects to address; network is as with Dial. The result is one
// of package net's: this system has no loops.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if _, err := checkDial(network); err != nil {
		return nil, err
	}
	return d.netDialer().DialContext(ctx, network, address)
}
