package static

import (
	"net/netip"
	"time"
)

// Request is what an answer depends on. What its methods return is valid until
// the answer is decided.
type Request interface {
	Method() []byte
	// Path is decoded, begins with a slash, and has no dot segments.
	Path() []byte
	Query() []byte
	// Host is what the client takes for the server's name, with the port if it names one.
	Host() []byte
	// Client is who has asked, behind proxies that are trusted. It is not valid over a unix
	// socket, unless they say so.
	Client() netip.Addr
	// Secure reports whether it came by TLS, as far as trusted proxies say so too.
	Secure() bool
	// Header returns the first value of a field by its canonical name, empty if
	// there is none; Headers all of them.
	Header(name string) []byte
	Headers(name string) [][]byte
	// Time is when the request came.
	Time() time.Time
}
