package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/escahttp/esca/cmd/escahttp/internal/errlog"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// surprises says what serves, but hardly as it was meant, a line each.
func (c *content) surprises() (list []string) {
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if c.certs != nil {
		list = append(list, c.certs.Doubts(time.Now())...)
	}
	for i, h := range c.files.all {
		root := rootName(c.rootOf(i))
		if c.SPA != "" && !h.Has(c.SPA) {
			say("--spa=%s: there is no such page beneath %s, and addresses at which there is nothing get 404: make it, or name another", c.SPA, root)
		}
		for _, rule := range c.ErrorPage {
			if page := pageOf(rule); page != "" && !h.Has(page) {
				say("--error-page='%s': there is no %s beneath %s, and errors get the short page: make it, or name another", rule, page, root)
			}
		}
		for _, f := range c.private() {
			if at := c.addressOf(i, f.name); at != "" && h.Shows(at) {
				say("%s: %s is beneath %s, and whoever asks for %s gets it: put it elsewhere, or let nobody have it (--deny='%s 0.0.0.0/0,::/0')", f.flag, f.name, root, at, at)
			}
		}
	}
	if c.Maintenance != "" {
		if _, err := os.Stat(c.Maintenance); err == nil {
			say("--maintenance=%s: the file exists, and everything is answered with 503: remove it to serve", c.Maintenance)
		}
	}
	return list
}

// warn says it to out.
func (c *content) warn(out *errlog.Log) {
	for _, line := range c.surprises() {
		out.Warnf("%s", line)
	}
}

// bare says which roots have nothing to show to who comes to their front door. It is for who checks:
// there are many reasons to have none.
func (c *content) bare() (list []string) {
	for i, h := range c.files.all {
		if c.List || c.SPA != "" || hasIndex(h, strings.Split(c.Index, ",")) {
			continue
		}
		list = append(list, fmt.Sprintf("%s has no %s, and / gets 404: make it, name another by --index, or have folders listed by --list", rootName(c.rootOf(i)), c.Index))
	}
	return list
}

func hasIndex(h *static.Handler, index []string) bool {
	for _, name := range index {
		if h.Has("/" + strings.TrimSpace(name)) {
			return true
		}
	}
	return false
}

// rootOf returns the directory of the i-th of the sites.
func (c *content) rootOf(i int) string {
	if i == 0 {
		return c.Root
	}
	rules, err := c.hostRules()
	if err != nil || i > len(rules) {
		return ""
	}
	return rules[i-1].root
}

// pageOf is the page that a rule of --error-page names, where it can be said which that is.
func pageOf(rule string) string {
	f := strings.Fields(rule)
	page := f[len(f)-1]
	switch {
	case page[0] == '/':
		return page
	case len(f) == 2: // that of the folder, or else the one at the top
		return "/" + page
	}
	return ""
}

// private is what is named by flags, and is for nobody else.
func (s *serveCmd) private() (list []struct{ flag, name string }) {
	add := func(flag, name string) {
		if name != "" && name != "-" {
			list = append(list, struct{ flag, name string }{flag, name})
		}
	}
	add("--tls-key", s.TLSKey)
	add("--config", s.Config)
	add("--access-log", s.Log)
	for _, rule := range s.BasicAuth {
		f := strings.Fields(rule)
		add("--basic-auth", f[len(f)-1])
	}
	if rules, err := s.hostRules(); err == nil {
		for _, h := range rules {
			add("--host", h.key)
		}
	}
	return list
}

// addressOf is at which address the file of that name would be, beneath the i-th of the sites; "" if
// it is not beneath it.
func (c *content) addressOf(i int, name string) string {
	root := c.rootOf(i)
	if root == "" {
		return ""
	}
	for _, p := range []*string{&root, &name} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return ""
		}
		if real, err := filepath.EvalSymlinks(abs); err == nil {
			abs = real
		}
		*p = abs
	}
	rel, err := filepath.Rel(root, name)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return ""
	}
	return "/" + filepath.ToSlash(rel)
}

// idle says which flags say something to nobody. It is for who checks.
func (s *serveCmd) idle() (list []string) {
	for _, f := range []struct {
		given bool
		flag  string
		needs bool
		what  string
	}{
		{s.ArchiveMiB != defaultArchiveMiB, "--archive-size", s.Archive, "--archive"},
		{s.Format != "common", "--access-log-format", s.Log != "", "--access-log"},
		{s.HTTPSPort != defaultHTTPSPort, "--https-port", s.HTTPSRedirect, "--https-redirect"},
		{s.RealIP != "x-forwarded-for", "--real-ip", s.TrustedProxies != "", "--trusted-proxies"},
	} {
		if f.given && !f.needs {
			list = append(list, fmt.Sprintf("%s does nothing without %s: give that as well", f.flag, f.what))
		}
	}
	return list
}

// defaultArchiveMiB is that of --archive-size.
const defaultArchiveMiB = 1024
