package main

import (
	"fmt"

	"github.com/escahttp/esca/cmd/escahttp/internal/headers"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// policy is what is done before and after a file is looked for: what is not asked for is
// not in it.
//
//	before   CORS preflights
//	after    security preset, Cache-Control, CORS, header rules
type policy struct {
	before []static.Step
	after  []static.Finisher
}

// policy makes one of the flags; an error names the flag.
func (s *serveCmd) policy() (p policy, err error) {
	if s.Security {
		p.after = append(p.after, headers.Security{})
	}
	if len(s.CacheControl) > 0 {
		c, err := headers.ParseCacheControl(s.CacheControl)
		if err != nil {
			return p, fmt.Errorf("--cache-control: %w", err)
		}
		p.after = append(p.after, c)
	}
	if len(s.CORS) > 0 {
		c, err := headers.ParseCORS(s.CORS)
		if err != nil {
			return p, fmt.Errorf("--cors: %w", err)
		}
		p.before = append(p.before, c)
		p.after = append(p.after, c)
	}
	if len(s.Header) > 0 {
		f, err := headers.ParseFields(s.Header)
		if err != nil {
			return p, fmt.Errorf("--header: %w", err)
		}
		p.after = append(p.after, f)
	}
	return p, nil
}
