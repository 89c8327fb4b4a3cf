package http3

import (
	"time"

	"github.com/escahttp/esca/conn"
)

type stallKey struct{}

// WithStallTimeout has an answer be broken off whose client takes less than 32 KiB of it in
// that time. Default 0: that is for the fasthttp.Server's WriteTimeout alone, which is for the
// whole answer. For New.
func WithStallTimeout(d time.Duration) conn.Option { return conn.WithValue(stallKey{}, d) }
