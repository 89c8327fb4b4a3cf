package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/escahttp/esca/cmd/escahttp/internal/acme"
	"github.com/escahttp/esca/cmd/escahttp/internal/certs"
	"github.com/escahttp/esca/cmd/escahttp/internal/errlog"
	"github.com/escahttp/esca/cmd/escahttp/internal/hosts"
	"github.com/escahttp/esca/cmd/escahttp/internal/http1"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
	"github.com/escahttp/esca/cmd/escahttp/internal/welcome"
)

// sites are the files of all hosts.
type sites struct {
	all   []*static.Handler // the first is of who asks for none of the others
	names hosts.Names[*static.Handler]
}

// hostRule is NAMES ROOT [CERT KEY].
type hostRule struct {
	names     []string
	root      string
	cert, key string
}

// hostRules reads --host.
func (s *serveCmd) hostRules() (list []hostRule, err error) {
	var names hosts.Names[bool]
	for _, text := range s.Host {
		f := strings.Fields(text)
		if len(f) != 2 && len(f) != 4 {
			return nil, fmt.Errorf("--host: %q: give NAMES ROOT, and CERT KEY behind it if it has a certificate of its own", text)
		}
		h := hostRule{names: strings.Split(f[0], ","), root: f[1]}
		if len(f) == 4 {
			if h.cert, h.key = f[2], f[3]; s.TLSCert == "" {
				return nil, fmt.Errorf("--host: %q: a certificate needs --tls-cert and --tls-key, for clients that name no host", text)
			}
		}
		for _, n := range h.names {
			if err := names.Add(n, true); err != nil {
				return nil, fmt.Errorf("--host: %q: %w", text, err)
			}
		}
		if err := checkRoot(h.root); err != nil {
			return nil, fmt.Errorf("--host: %q: %w", text, err)
		}
		list = append(list, h)
	}
	return list, nil
}

// openSites opens the files of all hosts. The memory for contents is divided among them.
// first comes before all else; it may be nothing.
func (s *serveCmd) openSites(out *errlog.Log, first ...static.Step) (t *sites, err error) {
	p, err := s.policy(out.Limited("passwords").Printf)
	if err != nil {
		return nil, err
	}
	p.before = append(first, p.before...)
	rules, err := s.hostRules()
	if err != nil {
		return nil, err
	}
	o := static.Options{
		CacheBytes: s.CacheMiB << 20 / int64(1+len(rules)), Tagging: static.Tagging(s.ETag), Precompressed: s.Precompressed, Encode: s.Compress,
		Index: strings.Split(strings.ReplaceAll(s.Index, " ", ""), ","), List: s.List, Dotfiles: s.Dotfiles, CleanURLs: s.CleanURLs, Markdown: s.Markdown, Fallback: s.SPA,
		ErrorPages: p.pages, Types: p.types, Before: p.before, Found: p.found, After: p.after, Logf: out.Limited("files").Printf,
	}
	if o.Revalidate = s.Revalidate; o.Revalidate <= 0 {
		o.Revalidate = -1
	}
	if s.Archive {
		o.Archive = s.ArchiveMiB << 20
	}
	opened := new(sites)
	defer func() {
		if err != nil {
			opened.Close()
		}
	}()
	open := func(root string) (h *static.Handler, err error) {
		if root == "" {
			h, err = static.NewFS(welcome.FS(), time.Now(), o)
		} else {
			h, err = static.New(root, o)
		}
		if err == nil {
			opened.all = append(opened.all, h)
		}
		return h, err
	}
	if _, err := open(s.Root); err != nil {
		return nil, fmt.Errorf("ROOT: %w", err)
	}
	for _, rule := range rules {
		h, err := open(rule.root)
		for _, name := range rule.names {
			err = errors.Join(err, opened.names.Add(name, h))
		}
		if err != nil {
			return nil, fmt.Errorf("--host: %w", err)
		}
	}
	return opened, nil
}

// core returns what decides: where there is one host only, its files.
func (t *sites) core() http1.Decider {
	if len(t.all) == 1 {
		return t.all[0]
	}
	return t
}

// Decide is http1.Decider's.
func (t *sites) Decide(r static.Request, a *static.Answer) {
	h, ok := t.names.Get(r.Host())
	if !ok {
		h = t.all[0]
	}
	h.Decide(r, a)
}

// Forget has every name looked at again.
func (t *sites) Forget() {
	for _, h := range t.all {
		h.Forget()
	}
}

// Stats is what all of them keep.
func (t *sites) Stats() (sum static.Stats) {
	for _, h := range t.all {
		s := h.Stats()
		sum.Files, sum.Open, sum.Bytes = sum.Files+s.Files, sum.Open+s.Open, sum.Bytes+s.Bytes
	}
	return sum
}

// Close lets go of all files.
func (t *sites) Close() {
	for _, h := range t.all {
		h.Close()
	}
}

// openCerts loads the certificates of all hosts; nil: there is none. auto has some of them
// made; nil: none.
func (s *serveCmd) openCerts(out *errlog.Log, auto *acme.Manager) (_ *certs.Set, err error) {
	if !s.hasTLS() {
		return nil, nil
	}
	set := new(certs.Set)
	if auto != nil {
		set.Auto(auto)
	}
	if s.TLSCert != "" {
		if err = set.Add(nil, s.TLSCert, s.TLSKey, out.Warnf); err != nil {
			err = fmt.Errorf("--tls-cert=%s, --tls-key=%s: %w", s.TLSCert, s.TLSKey, err)
		}
	}
	rules, _ := s.hostRules()
	for _, rule := range rules {
		if err == nil && rule.cert != "" {
			if err = set.Add(rule.names, rule.cert, rule.key, out.Warnf); err != nil {
				err = fmt.Errorf("--host: %s: %w", strings.Join(rule.names, ","), err)
			}
		}
	}
	if err != nil {
		set.Close()
		return nil, err
	}
	return set, nil
}
