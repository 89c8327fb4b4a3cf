package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/escahttp/esca/cmd/escahttp/internal/accesslog"
	"github.com/escahttp/esca/cmd/escahttp/internal/acme"
	"github.com/escahttp/esca/cmd/escahttp/internal/admin"
	"github.com/escahttp/esca/cmd/escahttp/internal/certs"
	"github.com/escahttp/esca/cmd/escahttp/internal/errlog"
	"github.com/escahttp/esca/cmd/escahttp/internal/http1"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// content is what is served, as one reading of the configuration has it. A later one
// takes its place; answers that have begun end with the one that they began with.
type content struct {
	*serveCmd
	files  *sites
	access *accesslog.Log // nil: none
	acme   *acme.Manager  // nil: all certificates are in files
	certs  *certs.Set     // nil: no TLS
	end    *http1.End
}

// decider puts what decides between the files and the protocol. Tests put a
// double there.
var decider = func(d http1.Decider) http1.Decider { return d }

// open opens what s names. What before has open already, under the same name, is taken
// over; nil: there is nothing before. m counts what is answered, if it is not nil.
func (s *serveCmd) open(out *errlog.Log, m *admin.Metrics, before *content) (_ *content, err error) {
	c := &content{serveCmd: s}
	defer func() {
		if err != nil {
			c.close(before, lastWords)
		}
	}()
	if c.acme, err = s.openACME(out, before); err != nil {
		return nil, err
	}
	var first []static.Step
	if c.acme != nil {
		first = append(first, c.acme)
	}
	if c.files, err = s.openSites(out, first...); err != nil {
		return nil, err
	}
	switch {
	case before != nil && before.Log == s.Log && before.Format == s.Format:
		c.access = before.access
	case s.dry && s.Log != "" && s.Log != "-":
		if err = couldAppend(s.Log); err != nil {
			return nil, noLog(s.Log, err)
		}
	case s.Log != "" && !s.dry:
		if c.access, err = accesslog.Open(s.Log, s.Format, out.Errorf); err != nil {
			return nil, noLog(s.Log, err)
		}
	}
	switch {
	case before != nil && before.acme == c.acme && before.TLSCert == s.TLSCert && before.TLSKey == s.TLSKey && slices.Equal(before.Host, s.Host):
		c.certs = before.certs
	default:
		if c.certs, err = s.openCerts(out, c.acme); err != nil {
			return nil, err
		}
	}
	c.end = &http1.End{Core: decider(c.files.core()), Proxies: s.proxies(), Log: c.access, Logf: out.Traces().Printf}
	if m != nil {
		c.end.Observe = m.Observe
	}
	return c, nil
}

func noLog(name string, err error) error {
	return fmt.Errorf("--access-log=%s: %w: name a file that this user may write to, in a folder that is there", name, err)
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
	if c.acme != nil && c.acme != other.acme {
		c.acme.Close()
	}
	if c.certs != nil && c.certs != other.certs {
		c.certs.Close()
	}
	return c.access == nil || c.access == other.access || c.access.Close(patience)
}
