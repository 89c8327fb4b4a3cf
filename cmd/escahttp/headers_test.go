//go:build linux

package main

import (
	"net/http"
	"strings"
	"testing"
)

// fields compares what header fields say; "" is for none. want is pairs.
func fields(t *testing.T, what string, r *http.Response, status int, want ...string) {
	t.Helper()
	if r.StatusCode != status {
		t.Errorf("%s: %s, want %d", what, r.Status, status)
	}
	for i := 0; i < len(want); i += 2 {
		if got := strings.Join(r.Header.Values(want[i]), " | "); got != want[i+1] {
			t.Errorf("%s: %s: %q, want %q", what, want[i], got, want[i+1])
		}
	}
}

func TestCacheControlAndHeaders(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/index.html", []byte("<p>"))
	put(t, d+"/app.3f8a91c2.js", []byte("js"))
	put(t, d+"/font/a.woff2", []byte("font"))
	p := launch(t, nil, nil, "--server-header=off",
		"--cache-control=@hashed immutable", "--cache-control=*.html no-cache", "--cache-control=** max-age=60",
		"--header=/font/** Cross-Origin-Resource-Policy: cross-origin", "--header=** X-One: 1", "--header=*.html X-One: 2", "--header=*.js -x-one", "--header=*.js -ETag", d)
	const key = "Cache-Control"
	for _, tt := range []struct {
		path   string
		status int
		args   []string
		want   []string
	}{
		{"/", 200, nil, []string{key, "no-cache", "X-One", "2", "Server", ""}},
		{"/index.html", 200, []string{"-I"}, []string{key, "no-cache"}},
		{"/app.3f8a91c2.js", 200, nil, []string{key, "public, max-age=31536000, immutable", "X-One", "", "ETag", ""}},
		{"/app.3f8a91c2.js", 206, []string{"-r", "0-0"}, []string{key, "public, max-age=31536000, immutable"}},
		{"/font/a.woff2", 200, nil, []string{key, "max-age=60", "Cross-Origin-Resource-Policy", "cross-origin", "X-One", "1"}},
		{"/font", 301, nil, []string{key, "", "X-One", "1"}},
		{"/none.3f8a91c2.js", 404, nil, []string{key, "", "X-One", ""}},
		{"/none", 404, nil, []string{key, "", "X-One", "1", "Server", ""}},
	} {
		r, _ := p.curl(t, tt.path, tt.args...)
		fields(t, tt.path, r, tt.status, tt.want...)
	}
	r, _ := p.curl(t, "/")
	r, _ = p.curl(t, "/", "-H", "If-None-Match: "+r.Header.Get("ETag"))
	fields(t, "not modified", r, 304, key, "no-cache", "X-One", "2")
	named := launch(t, nil, nil, "--server-header=mine", d)
	r, _ = named.curl(t, "/")
	fields(t, "a name", r, 200, "Server", "mine", key, "")
}

func TestCORS(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/a.txt", repeat('a', 2000))
	some := launch(t, nil, nil, "--cors=https://example.org", "--cors=https://*.example.org", d)
	any := launch(t, nil, nil, "--cors=*", d)
	none := launch(t, nil, nil, d)
	const origin, methods = "Access-Control-Allow-Origin", "Access-Control-Allow-Methods"
	preflight := []string{"-X", "OPTIONS", "-H", "Access-Control-Request-Method: GET", "-H", "Origin: https://example.org"}
	for _, tt := range []struct {
		what   string
		p      *process
		args   []string
		status int
		want   []string
	}{
		{"that origin", some, []string{"-H", "Origin: https://example.org"}, 200, []string{origin, "https://example.org", "Vary", "Accept-Encoding, Origin"}},
		{"one below", some, []string{"-H", "Origin: https://a.example.org"}, 200, []string{origin, "https://a.example.org"}},
		{"another", some, []string{"-H", "Origin: https://evil.org"}, 200, []string{origin, "", "Vary", "Accept-Encoding, Origin"}},
		{"no origin", some, nil, 200, []string{origin, "", "Vary", "Accept-Encoding, Origin"}},
		{"preflight", some, preflight, 204, []string{origin, "https://example.org", methods, "GET, HEAD", "Access-Control-Max-Age", "7200", "Vary", "Origin"}},
		{"preflight of another", some, append(preflight[:len(preflight)-1:len(preflight)-1], "Origin: https://evil.org"), 204, []string{origin, "", methods, ""}},
		{"options", some, []string{"-X", "OPTIONS"}, 405, []string{"Allow", "GET, HEAD"}},
		{"anybody", any, []string{"-H", "Origin: https://evil.org"}, 200, []string{origin, "*", "Vary", "Accept-Encoding"}},
		{"anybody's preflight", any, preflight, 204, []string{origin, "*", methods, "GET, HEAD", "Content-Length", ""}},
		{"off", none, []string{"-H", "Origin: https://example.org"}, 200, []string{origin, "", "Vary", "Accept-Encoding"}},
		{"off, preflight", none, preflight, 405, []string{origin, ""}},
	} {
		r, _ := tt.p.curl(t, "/a.txt", tt.args...)
		fields(t, tt.what, r, tt.status, tt.want...)
	}
	r, _ := some.curl(t, "/nope", "-H", "Origin: https://example.org")
	fields(t, "not found", r, 404, origin, "https://example.org")
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	certificate(t, d, "localhost")
	put(t, d+"/site/a.txt", []byte("a"))
	plain := launch(t, nil, nil, "--security-headers", "--header=** X-Frame-Options: DENY", d+"/site")
	secure := launch(t, nil, nil, "--security-headers", "--tls-cert="+d+"/c", "--tls-key="+d+"/k", d+"/site")
	for _, path := range []string{"/a.txt", "/nope"} {
		r, _ := plain.curl(t, path)
		fields(t, path, r, r.StatusCode, "X-Content-Type-Options", "nosniff", "Strict-Transport-Security", "", "X-Frame-Options", "DENY",
			"Referrer-Policy", "strict-origin-when-cross-origin", "Content-Security-Policy", "base-uri 'self'; form-action 'self'; frame-ancestors 'self'; object-src 'none'")
	}
	r, _ := secure.curl(t, "https://"+secure.addr+"/a.txt", "-k", "--http1.1")
	fields(t, "TLS", r, 200, "Strict-Transport-Security", "max-age=31536000", "X-Frame-Options", "SAMEORIGIN")
	if csp := r.Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "; upgrade-insecure-requests") {
		t.Errorf("TLS: %s", csp)
	}
}
