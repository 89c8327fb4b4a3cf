package static

import "time"

// Request is what an answer depends on. What its methods return is valid until
// the answer is decided.
type Request interface {
	Method() []byte
	// Path is decoded, begins with a slash, and has no dot segments.
	Path() []byte
	Query() []byte
	// Host is what the client takes for the server's name, with the port if it names one.
	Host() []byte
	// Secure reports whether it came by TLS.
	Secure() bool
	// Header returns the first value of a field by its canonical name, empty if
	// there is none; Headers all of them.
	Header(name string) []byte
	Headers(name string) [][]byte
	// Time is when the request came.
	Time() time.Time
}
