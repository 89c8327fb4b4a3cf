package server

import "github.com/escahttp/esca/conn"

type (
	http2Key struct{}
	h2cKey   struct{}
)

// WithHTTP2 says whether HTTP/2 is offered to clients that come over TLS. Default
// true; it is not offered if the TLSConfig names protocols of its own (NextProtos)
// without "h2", or has a cipher list or a version that HTTP/2 forbids. For New.
func WithHTTP2(on bool) Option { return conn.WithValue(http2Key{}, on) }

// WithH2C says whether a client that comes without TLS may begin with HTTP/2 at once,
// knowing that the server speaks it ("prior knowledge"). Default false; the upgrade
// from HTTP/1.1 is not offered, as RFC 9113 has given it up. For New.
func WithH2C(on bool) Option { return conn.WithValue(h2cKey{}, on) }
