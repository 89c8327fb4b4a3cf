package main

import (
	"errors"
	"fmt"
	"mime"
	"strconv"
	"strings"

	"github.com/escahttp/esca/cmd/escahttp/internal/headers"
	"github.com/escahttp/esca/cmd/escahttp/internal/paths"
	"github.com/escahttp/esca/cmd/escahttp/internal/pattern"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// policy is what is done before and after a file is looked for: what is not asked for is
// not in it.
//
//	before   to TLS, maintenance, rates, CORS preflights, redirects, rewrites, hidden files
//	         who may have what (and once more, when the file is found)
//	after    security preset, Cache-Control, CORS, header rules
type policy struct {
	before []static.Step
	found  []static.Step
	after  []static.Finisher
	pages  []static.ErrorPage
	types  map[string]string
}

// policy makes one of the flags; an error names the flag. logf is told of files of its that
// cannot be read any more.
func (s *serveCmd) policy(logf func(string, ...any)) (p policy, err error) {
	if s.HTTPSRedirect {
		p.before = append(p.before, paths.HTTPS{Port: s.HTTPSPort})
	}
	if s.Maintenance != "" {
		p.before = append(p.before, paths.NewMaintenance(s.Maintenance, s.Revalidate))
	}
	if err := s.access(&p, logf); err != nil {
		return p, err
	}
	if err := s.fields(&p); err != nil {
		return p, err
	}
	if err := s.paths(&p); err != nil {
		return p, err
	}
	p.before = append(p.before, p.found...)
	if p.pages, err = errorPages(s.ErrorPage); err != nil {
		return p, fmt.Errorf("--error-page: %w", err)
	}
	if p.types, err = mediaTypes(s.Types); err != nil {
		return p, fmt.Errorf("--mime-type: %w", err)
	}
	return p, nil
}

// paths adds what has to do with paths.
func (s *serveCmd) paths(p *policy) error {
	if len(s.Redirect) > 0 {
		r, err := paths.ParseRedirects(s.Redirect)
		if err != nil {
			return fmt.Errorf("--redirect: %w", err)
		}
		p.before = append(p.before, r)
	}
	if len(s.Rewrite) > 0 {
		r, err := paths.ParseRewrites(s.Rewrite)
		if err != nil {
			return fmt.Errorf("--rewrite: %w", err)
		}
		p.before = append(p.before, r)
	}
	if !s.Dotfiles {
		p.before = append(p.before, static.Hidden{})
	}
	if s.SPA != "" && (s.SPA[0] != '/' || strings.HasSuffix(s.SPA, "/")) {
		return fmt.Errorf("--spa=%s: give the path of a page, such as /index.html", s.SPA)
	}
	for name := range strings.SplitSeq(s.Index, ",") {
		if name = strings.TrimSpace(name); name == "" || strings.Contains(name, "/") {
			return fmt.Errorf("--index=%s: give names of files, such as index.html,index.htm", s.Index)
		}
	}
	return nil
}

// errorPages reads rules of the form [PATTERN] STATUS PAGE.
func errorPages(rules []string) (list []static.ErrorPage, err error) {
	for _, text := range rules {
		f := strings.Fields(text)
		var page static.ErrorPage
		if len(f) == 3 {
			p, err := pattern.Parse(f[0])
			if err != nil {
				return nil, fmt.Errorf("%q: %w", text, err)
			}
			page.Match, f = p.Match, f[1:]
		}
		if len(f) != 2 {
			return nil, fmt.Errorf("%q: give STATUS PAGE, such as 404 /404.html, and a pattern in front if it is not for all paths", text)
		}
		if page.Status, err = strconv.Atoi(f[0]); err != nil || page.Status < 400 || page.Status > 599 {
			return nil, fmt.Errorf("%q: %s is no status of an error: give one from 400 to 599", text, f[0])
		}
		page.Page = f[1]
		list = append(list, page)
	}
	return list, nil
}

// mediaTypes reads rules of the form .EXT TYPE.
func mediaTypes(rules []string) (map[string]string, error) {
	types := map[string]string{}
	for _, text := range rules {
		ext, t, _ := strings.Cut(text, " ")
		t = strings.TrimSpace(t)
		_, _, err := mime.ParseMediaType(t)
		if err == nil && (len(ext) < 2 || ext[0] != '.' || !strings.Contains(t, "/")) {
			err = errors.New("that is not an extension and a type")
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w: give .EXT TYPE, such as .foo text/plain", text, err)
		}
		types[strings.ToLower(ext)] = t
	}
	return types, nil
}

// fields adds what has to do with header fields.
func (s *serveCmd) fields(p *policy) error {
	if s.Security {
		p.after = append(p.after, headers.Security{})
	}
	if len(s.CacheControl) > 0 {
		c, err := headers.ParseCacheControl(s.CacheControl)
		if err != nil {
			return fmt.Errorf("--cache-control: %w", err)
		}
		p.after = append(p.after, c)
	}
	if len(s.CORS) > 0 {
		c, err := headers.ParseCORS(s.CORS)
		if err != nil {
			return fmt.Errorf("--cors: %w", err)
		}
		p.before = append(p.before, c)
		p.after = append(p.after, c)
	}
	if len(s.Header) > 0 {
		f, err := headers.ParseFields(s.Header)
		if err != nil {
			return fmt.Errorf("--header: %w", err)
		}
		p.after = append(p.after, f)
	}
	return nil
}
