//go:build !race && linux && (amd64 || arm64)

package conn

import "github.com/escahttp/esca/poller"

// inOrder is for the race detector, which is not there.
func inOrder(be poller.Backend) poller.Backend { return be }
