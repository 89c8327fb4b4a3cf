//go:build !(linux && (amd64 || arm64))

package conn

import (
	"context"
	"net"
)

// Listen is net.Listen here: this system has no loops.
func Listen(network, addr string, opts ...Option) (net.Listener, error) {
	o := buildOptions(opts)
	lc := net.ListenConfig{KeepAlive: -1, Control: o.control}
	if o.keepAlive > 0 {
		lc.KeepAlive = o.keepAlive
	}
	return lc.Listen(context.Background(), network, addr)
}
