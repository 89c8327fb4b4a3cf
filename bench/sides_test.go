//go:build linux

package main

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// required says whether the environment asks for something to be there.
func required(name string) bool {
	return slices.Contains(strings.Split(os.Getenv("ESCA_REQUIRE"), ","), name)
}

// Every side of the loads that need it configured gives the reference's answers.
func TestSidesAnswerAlike(t *testing.T) {
	r := testRunner(t, 0)
	r.shop = shopOf(t)
	for _, name := range []string{"requests10/free/c50", "site/pinned/c50", "site/free/c50", "gzip/ready/c50", "gzip/made/c50", "tls/keep/c50", "tls/full/c50", "h2/hello/c50", "h2/file20k/c50"} {
		c := named(t, name)
		var reference *answers
		for _, s := range c.sides {
			t.Run(name+"/"+s.name, func(t *testing.T) {
				if s == caddy && !required("caddy") {
					t.Skip("Caddy takes minutes to build: ESCA_REQUIRE=caddy does")
				}
				srv, err := r.start(t.Context(), &c, s)
				var not missingError
				switch {
				case errors.As(err, &not) && !required(strings.ToLower(s.name)):
					t.Skip(err, "; bench leaves it out")
				case err != nil:
					t.Fatal(err)
				}
				defer srv.stop()
				if err := srv.check(&c, &reference); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// What a side of its own module needs must not come into what the others require.
func TestSidesAreInTheirOwnModules(t *testing.T) {
	for _, file := range []string{"../go.mod", "go.mod", "../go.work"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*server{caddy, celerisEpoll} {
			if own := strings.ToLower(strings.Fields(s.name)[0]); strings.Contains(string(text), own) {
				t.Errorf("%s names %s, which only %s is to require", file, own, s.module)
			}
		}
	}
}

// A side whose module cannot be had is missing, and says in one line how to have it.
func TestModuleThatCannotBeHad(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOMODCACHE", t.TempDir())
	w := &workshop{dir: t.TempDir(), made: map[string]error{}}
	_, err := startCaddy(w, &comparison{loads: hello(1)}, "127.0.0.1:1")
	p := problemOf(err)
	if p.Kind != missing || !strings.Contains(p.Why, "go -C "+caddyServer+" mod download") || strings.Contains(p.Why, "\n") {
		t.Errorf("it is %q", p)
	}
}
