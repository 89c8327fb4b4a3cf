// Package fast is what servers that serve by fasthttp's ServeConn need of fasthttp, and its
// API does not give.
package fast
