package server

import (
	"time"

	"github.com/escahttp/esca/conn"
)

type (
	http2Key struct{}
	h2cKey   struct{}
	stallKey struct{}
)

// WithHTTP2 says whether HTTP/2 is offered to clients that come over TLS. Default
// true; it is not offered if the TLSConfig names protocols of its own (NextProtos)
// without "h2", or has a cipher list or a version that HTTP/2 forbids. For New.
func WithHTTP2(on bool) Option { return conn.WithValue(http2Key{}, on) }

// WithH2C says whether a client that comes without TLS may begin with HTTP/2 at once,
// knowing that the server speaks it ("prior knowledge"). Default false; the upgrade
// from HTTP/1.1 is not offered, as RFC 9113 has given it up. For New.
func WithH2C(on bool) Option { return conn.WithValue(h2cKey{}, on) }

// WithStreamStall has a stream of HTTP/2 reset (CANCEL) whose client takes nothing of the answer for d,
// by giving no more of the stream's window or of the connection's. One that takes some, however little,
// is not. Zero: no limit, the default. fasthttp.Server.WriteTimeout is one on a whole answer.
//
// It is not for a connection that takes nothing at all, whose streams wait for the kernel. For New.
func WithStreamStall(d time.Duration) Option { return conn.WithValue(stallKey{}, d) }
