// Package http1 talks HTTP/1.1 with fasthttp about one request of a later version.
//
//	Request   what fasthttp reads: a head, and a body as HTTP/1.1 has it
//	Answer    what fasthttp writes, taken apart again
//
// So fasthttp's own code sees to limits, timeouts, forms, bodies and errors as it always
// does. What is asked for is checked here: no part of it becomes a line of HTTP/1.1 that is
// read there otherwise than it was meant.
package http1
