//go:build linux

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// htpasswd returns the line that htpasswd -B writes.
func htpasswd(t *testing.T, name, password string) []byte {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(name + ":$2y$" + strings.TrimPrefix(string(hash), "$2a$") + "\n")
}

func TestBasicAuth(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/site/index.html", []byte("public"))
	put(t, d+"/site/private/index.html", []byte("private"))
	put(t, d+"/site/private/app.3f8a91c2.js", []byte("js"))
	put(t, d+"/site/secret.html", []byte("private"))
	ann := htpasswd(t, "ann", "secret")
	put(t, d+"/users", ann)
	p := launch(t, nil, nil, "--basic-auth=/private/** "+d+"/users", "--basic-auth=/secret.html "+d+"/users", "--clean-urls", "--cache-control=@hashed immutable",
		"--cors=https://example.org", d+"/site")
	const challenge = `Basic realm="restricted", charset="UTF-8"`
	p.answers(t, []ask{
		{"/", nil, 200, "public", []string{"WWW-Authenticate", ""}},
		{"/private/", nil, 401, "<!doctype html><title>Unauthorized", []string{"WWW-Authenticate", challenge}},
		{"/private/", []string{"-u", "ann:secret"}, 200, "private", nil},
		{"/private/", []string{"-u", "ann:wrong"}, 401, "*", nil},
		{"/private/nope", nil, 401, "*", nil},
		{"/secret", nil, 401, "*", nil}, // secret.html
		{"/secret", []string{"-u", "ann:secret"}, 200, "private", nil},
		{"/private/app.3f8a91c2.js", []string{"-u", "ann:secret"}, 200, "js", []string{"Cache-Control", "private, max-age=31536000, immutable"}},
		{"/private/", []string{"-X", "OPTIONS", "-H", "Origin: https://example.org", "-H", "Access-Control-Request-Method: GET"}, 204, "", nil},
	})
	put(t, d+"/users", append(ann, htpasswd(t, "bob", "other")...))
	eventually(t, "bob is known", func() bool { r, _ := p.curl(t, "/private/", "-u", "bob:other"); return r.StatusCode == 200 })
	os.Remove(d + "/users")
	p.Process.Signal(syscall.SIGHUP)
	p.answers(t, []ask{{"/private/", []string{"-u", "bob:other"}, 200, "private", nil}})
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/a.txt", []byte("a"))
	p := launch(t, nil, nil, "--rate-limit=/a.txt 2/h", "--error-page=429 /a.txt", d)
	for range 2 {
		p.answers(t, []ask{{"/a.txt", nil, 200, "a", nil}})
	}
	r, _ := p.curl(t, "/a.txt")
	fields(t, "the third", r, 429)
	if wait := r.Header.Get("Retry-After"); len(wait) != 4 { // up to half an hour
		t.Errorf("Retry-After: %q", wait)
	}
	p.answers(t, []ask{
		{"/nope", nil, 404, "*", nil},
		{"/a.txt", []string{"--interface", "127.0.0.2"}, 200, "a", nil},
	})
}
