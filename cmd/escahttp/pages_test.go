//go:build linux

package main

import (
	"os"
	"strings"
	"testing"
)

// ask is what is asked for and what is to come of it.
type ask struct {
	path   string
	args   []string
	status int
	body   string // begins with; "*": any
	want   []string
}

func (p *process) answers(t *testing.T, asks []ask) {
	t.Helper()
	for _, tt := range asks {
		r, b := p.curl(t, tt.path, tt.args...)
		if tt.body != "*" && !strings.HasPrefix(string(b), tt.body) {
			t.Errorf("%s: %.80q, want %q", tt.path, b, tt.body)
		}
		fields(t, tt.path, r, tt.status, tt.want...)
	}
}

const short404 = "<!doctype html><title>Not Found"

func TestListing(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/a/b.txt", []byte("b"))
	put(t, d+"/i/index.html", []byte("index"))
	put(t, d+"/.git/config", []byte("secret"))
	put(t, d+"/.well-known/security.txt", []byte("contact"))
	p := launch(t, nil, nil, "--list", d)
	const html, policy = "text/html; charset=utf-8", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
	p.answers(t, []ask{
		{"/", nil, 200, "<!doctype html>", []string{"Content-Type", html, "Vary", "Accept", "Content-Security-Policy", policy}},
		{"/a/?format=json", nil, 200, `{"path":"/a/","entries":[{"name":"b.txt","type":"file","size":1,"modified":"`, []string{"Content-Type", "application/json"}},
		{"/a/", []string{"-H", "Accept: application/json"}, 200, `{"path":"/a/"`, nil},
		{"/a/", []string{"-H", "Accept: text/html, application/json;q=0.9"}, 200, "<!doctype html>", nil},
		{"/a/", []string{"-I"}, 200, "", []string{"Content-Type", html}},
		{"/a", nil, 301, "*", []string{"Location", "/a/"}},
		{"/i/", nil, 200, "index", nil},
		{"/.git/config", nil, 404, short404, nil},
		{"/.git/", nil, 404, short404, nil},
		{"/.well-known/security.txt", nil, 200, "contact", nil},
	})
	if _, b := p.curl(t, "/?format=json"); strings.Contains(string(b), ".git") || !strings.Contains(string(b), ".well-known") {
		t.Errorf("%s", b)
	}
	dots := launch(t, nil, nil, "--dotfiles", d)
	dots.answers(t, []ask{
		{"/.git/config", nil, 200, "secret", nil},
		{"/a/", nil, 404, short404, nil},
	})
}

func TestSinglePageApplication(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/index.html", []byte("app"))
	put(t, d+"/a.js", []byte("js"))
	p := launch(t, nil, nil, "--spa=/index.html", "--cache-control=*.html no-cache", d)
	p.answers(t, []ask{
		{"/", nil, 200, "app", nil},
		{"/users/7", nil, 200, "app", []string{"Content-Type", "text/html; charset=utf-8", "Cache-Control", "no-cache", "Vary", "Accept"}},
		{"/users/john.doe", []string{"-H", "Accept: text/html,*/*;q=0.8"}, 200, "app", nil},
		{"/users/", nil, 200, "app", nil},
		{"/users/7", []string{"-I"}, 200, "", nil},
		{"/a.js", nil, 200, "js", nil},
		{"/missing.js", nil, 404, short404, []string{"Vary", "Accept"}},
		{"/.env", nil, 404, short404, nil},
		{"/users/7", []string{"-X", "POST"}, 405, "*", nil},
	})
}

func TestCleanURLsAndIndexNames(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/about.html", []byte("about"))
	put(t, d+"/both.html", []byte("file"))
	put(t, d+"/both/home.htm", []byte("folder"))
	put(t, d+"/x/home.htm", []byte("second"))
	put(t, d+"/y/index.html", []byte("first"))
	put(t, d+"/y/home.htm", []byte("second"))
	put(t, d+"/odd.foo", []byte("odd"))
	p := launch(t, nil, nil, "--clean-urls", "--index=index.html, home.htm", "--mime-type=.foo text/x-foo; charset=utf-8", d)
	p.answers(t, []ask{
		{"/about", nil, 200, "about", []string{"Content-Type", "text/html; charset=utf-8"}},
		{"/about.html", nil, 200, "about", nil},
		{"/about/", nil, 404, short404, nil},
		{"/both", nil, 301, "*", []string{"Location", "/both/"}},
		{"/x/", nil, 200, "second", nil},
		{"/y/", nil, 200, "first", nil},
		{"/nope", nil, 404, short404, nil},
		{"/odd.foo", nil, 200, "odd", []string{"Content-Type", "text/x-foo; charset=utf-8"}},
	})
}

func TestErrorPagesAndMaintenance(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/404.html", []byte("top"))
	put(t, d+"/docs/404.html", []byte("docs"))
	put(t, d+"/docs/deep/a.txt", []byte("a"))
	put(t, d+"/api/404.json", []byte("{}"))
	put(t, d+"/down.html", []byte("we are at it"))
	secret := t.TempDir() + "/secret"
	put(t, secret, []byte("secret"))
	os.Symlink(secret, d+"/405.html")
	flag := t.TempDir() + "/down"
	p := launch(t, nil, nil, "--error-page=/api/** 404 /api/404.json", "--error-page=404 404.html", "--error-page=503 /down.html", "--error-page=405 /405.html",
		"--maintenance="+flag, "--revalidate=0", "--header=** X-One: 1", "--cache-control=** max-age=9", d)
	p.answers(t, []ask{
		{"/nope", nil, 404, "top", []string{"Content-Type", "text/html; charset=utf-8", "ETag", "", "Last-Modified", "", "Accept-Ranges", "", "X-One", "1", "Cache-Control", ""}},
		{"/nope", []string{"-I"}, 404, "", []string{"Content-Length", "3"}},
		{"/nope", []string{"-r", "0-0"}, 404, "top", nil},
		{"/docs/nope", nil, 404, "docs", nil},
		{"/docs/deep/nope/x", nil, 404, "docs", nil},
		{"/api/x/y", nil, 404, "{}", []string{"Content-Type", "application/json"}},
		{"/docs/deep/a.txt", nil, 200, "a", nil},
		{"/docs/deep/a.txt", []string{"-X", "POST"}, 405, "<!doctype html><title>Method Not Allowed", []string{"Allow", "GET, HEAD"}},
	})
	put(t, flag, nil)
	p.answers(t, []ask{{"/docs/deep/a.txt", nil, 503, "we are at it", []string{"Retry-After", "60"}}})
	os.Remove(flag)
	p.answers(t, []ask{{"/docs/deep/a.txt", nil, 200, "a", nil}})
}

func TestRedirectsAndRewrites(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/new/a b.txt", []byte("new"))
	put(t, d+"/.secret", []byte("secret"))
	p := launch(t, nil, nil, "--redirect=/old/** /new/$1", "--redirect=/ext https://example.org/x 308", "--rewrite=/v*/** /new/$2", "--rewrite=~^/f-(.*)$ /$1", d)
	p.answers(t, []ask{
		{"/old/a%20b.txt?q=1", nil, 301, "*", []string{"Location", "/new/a%20b.txt?q=1"}},
		{"/ext", nil, 308, "*", []string{"Location", "https://example.org/x"}},
		{"/v3/a%20b.txt", nil, 200, "new", nil},
		{"/v3/a%20b.txt", []string{"-L"}, 200, "new", nil},
		{"/old/%2f%2fevil.org/", nil, 301, "*", []string{"Location", "/new/evil.org/"}},
		// What is hidden cannot be had by way of a rule.
		{"/f-.secret", nil, 404, short404, nil},
		{"/f-../.secret", nil, 404, short404, nil},
	})
}
