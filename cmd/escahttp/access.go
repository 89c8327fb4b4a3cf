package main

import (
	"fmt"

	"github.com/escahttp/esca/cmd/escahttp/internal/access"
)

// access adds what has to do with who may have what. logf is told of htpasswd files that
// cannot be read any more.
func (s *serveCmd) access(p *policy, logf func(string, ...any)) error {
	if len(s.RateLimit) > 0 {
		r, err := access.ParseRates(s.RateLimit)
		if err != nil {
			return fmt.Errorf("--rate-limit: %w", err)
		}
		p.before = append(p.before, r)
	}
	if len(s.Allow)+len(s.Deny) > 0 {
		n, err := access.ParseNetworks(s.Allow, s.Deny)
		if err != nil {
			return err
		}
		p.found = append(p.found, n)
	}
	if len(s.BasicAuth) > 0 {
		a, err := access.ParsePasswords(s.BasicAuth, logf)
		if err != nil {
			return fmt.Errorf("--basic-auth: %w", err)
		}
		p.found = append(p.found, a)
	}
	return nil
}
