package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/escahttp/esca/cmd/escahttp/internal/accesslog"
	"github.com/escahttp/esca/cmd/escahttp/internal/admin"
	"github.com/escahttp/esca/cmd/escahttp/internal/certs"
	"github.com/escahttp/esca/cmd/escahttp/internal/errlog"
	"github.com/escahttp/esca/cmd/escahttp/internal/http1"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
	"github.com/escahttp/esca/cmd/escahttp/internal/welcome"
)

// content is what is served, as one reading of the configuration has it. A later one
// takes its place; answers that have begun end with the one that they began with.
type content struct {
	*serveCmd
	files  *static.Handler
	access *accesslog.Log // nil: none
	certs  *certs.Pair    // nil: no TLS
	end    *http1.End
}

// decider puts what decides between the files and the protocol. Tests put a
// double there.
var decider = func(h *static.Handler) http1.Decider { return h }

// open opens what s names. What before has open already, under the same name, is taken
// over; nil: there is nothing before. m counts what is answered, if it is not nil.
func (s *serveCmd) open(out *errlog.Log, m *admin.Metrics, before *content) (_ *content, err error) {
	c := &content{serveCmd: s}
	defer func() {
		if err != nil {
			c.close(before, lastWords)
		}
	}()
	if c.files, err = s.openFiles(out); err != nil {
		return nil, err
	}
	switch {
	case before != nil && before.Log == s.Log && before.Format == s.Format:
		c.access = before.access
	case s.Log != "":
		if c.access, err = accesslog.Open(s.Log, s.Format, out.Printf); err != nil {
			return nil, err
		}
	}
	switch {
	case before != nil && before.TLSCert == s.TLSCert && before.TLSKey == s.TLSKey:
		c.certs = before.certs
	case s.TLSCert != "":
		if c.certs, err = certs.Load(s.TLSCert, s.TLSKey, out.Printf); err != nil {
			return nil, err
		}
	}
	c.end = &http1.End{Core: decider(c.files), Proxies: s.proxies(), Log: c.access, Logf: out.Traces().Printf}
	if m != nil {
		c.end.Observe = m.Observe
	}
	return c, nil
}

func (s *serveCmd) openFiles(out *errlog.Log) (*static.Handler, error) {
	p, err := s.policy(out.Limited("passwords").Printf)
	if err != nil {
		return nil, err
	}
	o := static.Options{
		CacheBytes: s.CacheMiB << 20, Tagging: static.Tagging(s.ETag), Precompressed: s.Precompressed, Encode: s.Compress,
		Index: strings.Split(strings.ReplaceAll(s.Index, " ", ""), ","), List: s.List, Dotfiles: s.Dotfiles, CleanURLs: s.CleanURLs, Fallback: s.SPA,
		ErrorPages: p.pages, Types: p.types, Before: p.before, Found: p.found, After: p.after, Logf: out.Limited("files").Printf,
	}
	if s.Root == "" {
		return static.NewFS(welcome.FS(), time.Now(), o)
	}
	if o.Revalidate = s.Revalidate; o.Revalidate <= 0 {
		o.Revalidate = -1
	}
	h, err := static.New(s.Root, o)
	if err != nil {
		return nil, fmt.Errorf("ROOT: %w", err)
	}
	return h, nil
}

// close closes what other does not have as well, and reports false if the access log did
// not take what was left within patience.
func (c *content) close(other *content, patience time.Duration) (ok bool) {
	if other == nil {
		other = new(content)
	}
	if c.files != nil {
		c.files.Close()
	}
	if c.certs != nil && c.certs != other.certs {
		c.certs.Close()
	}
	return c.access == nil || c.access == other.access || c.access.Close(patience)
}
