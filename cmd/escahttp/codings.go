package main

import "github.com/escahttp/esca/cmd/escahttp/internal/static"

// codings are those that files are compressed in.
type codings []int

// UnmarshalText reads a list, such as br,gzip.
func (c *codings) UnmarshalText(text []byte) (err error) {
	*c, err = static.ParseCodings(string(text))
	return err
}
