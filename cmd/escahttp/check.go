package main

import (
	"fmt"
	"strings"

	"github.com/escahttp/esca/cmd/escahttp/internal/errlog"
)

// run opens all that serving needs but the address, and says that it can be had.
func (s *checkCmd) run(out *errlog.Log) error {
	c, err := s.open(out, nil, nil)
	if err != nil {
		return err
	}
	c.close(nil, lastWords)
	root := s.Root
	if root == "" {
		root = "the welcome site"
	}
	from := "flags"
	if s.Config != "" {
		from = s.Config
	}
	fmt.Printf("%s: good: %s would be served on %s\n", from, root, strings.TrimSpace(s.Addr+" "+strings.Join(s.Listen, " ")))
	return nil
}
