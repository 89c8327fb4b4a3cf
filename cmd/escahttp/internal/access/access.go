// Package access has the rules of who may have what.
//
//	Networks   by the client's address
//	Passwords  by name and password, from htpasswd files
//	Rate       so many requests in a time, for each client
//
// A rule is about paths. It is asked about the one that the client has named, and about
// the one of the file that was found, so that no rewrite, index or page in the place of
// another leads around it; FILE.gz and the like are FILE.
package access

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/escahttp/esca/cmd/escahttp/internal/pattern"
	"github.com/escahttp/esca/cmd/escahttp/internal/realip"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// covers reports whether p is a pattern for what r asks for, or what was found for it.
func covers(p *pattern.Pattern, r static.Request, a *static.Answer) bool {
	asked, found := r.Path(), a.Path()
	return matches(p, asked) || !bytes.Equal(asked, found) && matches(p, found)
}

func matches(p *pattern.Pattern, path []byte) bool {
	if p.Match(path) {
		return true
	}
	for _, ext := range []string{".br", ".zst", ".gz", ".etag"} {
		if rest, ok := bytes.CutSuffix(path, []byte(ext)); ok && p.Match(rest) {
			return true
		}
	}
	return false
}

// cut cuts the pattern off a rule, if one is in front of something else: "**" otherwise.
func cut(text string) (p pattern.Pattern, rest string, err error) {
	first, rest, more := strings.Cut(strings.TrimSpace(text), " ")
	if !more || !strings.ContainsAny(first[:min(1, len(first))], "/*@?") {
		first, rest = "**", text
	}
	p, err = pattern.Parse(first)
	return p, strings.TrimSpace(rest), err
}

// Networks refuses clients by their address: those that are in a network of a deny rule,
// and where there are allow rules for a path those that are in none of theirs. It is a
// static.Step.
type Networks struct{ allow, deny []network }

type network struct {
	pattern.Pattern
	realip.Prefixes
}

// ParseNetworks reads rules of the form [PATTERN] NETWORK[,NETWORK].
func ParseNetworks(allow, deny []string) (n *Networks, err error) {
	n = new(Networks)
	if n.allow, err = parseNetworks(allow); err != nil {
		return nil, fmt.Errorf("--allow: %w", err)
	}
	if n.deny, err = parseNetworks(deny); err != nil {
		return nil, fmt.Errorf("--deny: %w", err)
	}
	return n, nil
}

func parseNetworks(rules []string) (list []network, err error) {
	for _, text := range rules {
		p, rest, err := cut(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		prefixes, err := realip.ParsePrefixes(rest)
		if err == nil && len(prefixes) == 0 {
			err = errors.New("it names no network")
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w (give [PATTERN] NETWORKS)", text, err)
		}
		list = append(list, network{p, prefixes})
	}
	return list, nil
}

// Decide is a static.Step.
func (n *Networks) Decide(r static.Request, a *static.Answer) bool {
	client := r.Client()
	for i := range n.deny {
		if d := &n.deny[i]; client.IsValid() && covers(&d.Pattern, r, a) && d.Contain(client) {
			a.Fail(http.StatusForbidden)
			return true
		}
	}
	among := true
	for i := range n.allow {
		if w := &n.allow[i]; covers(&w.Pattern, r, a) {
			if client.IsValid() && w.Contain(client) {
				return false
			}
			among = false
		}
	}
	if !among {
		a.Fail(http.StatusForbidden)
	}
	return !among
}
