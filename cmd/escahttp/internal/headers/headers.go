// Package headers has the rules of which header fields go with an answer: what may be
// kept for how long, who else's pages may read it, and what browsers are to be careful
// with.
//
//	CacheControl   PATTERN VALUE: the first that is for the file
//	Fields         PATTERN NAME: VALUE, or PATTERN -NAME: all that are for the path
//	CORS           origins whose pages may read the answers
//	Security       a preset of what is good for most sites
package headers

import (
	"errors"
	"fmt"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/escahttp/esca/cmd/escahttp/internal/pattern"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// CacheControl sets Cache-Control.
type CacheControl []cacheRule

type cacheRule struct {
	pattern.Pattern
	value   []byte
	private []byte // for who had to say who he is
}

// Forever is what a value may be instead, for files whose contents never change.
const Forever = "immutable"

var (
	keyCacheControl = []byte("Cache-Control")
	valueForever    = "public, max-age=31536000, immutable"
)

// ParseCacheControl reads rules of the form PATTERN VALUE. The value immutable stands
// for a year, public and never asked about again.
func ParseCacheControl(rules []string) (c CacheControl, err error) {
	for _, text := range rules {
		p, value, err := split(text)
		if err == nil && !httpguts.ValidHeaderFieldValue(value) {
			err = fmt.Errorf("%q cannot be the value of a header field", value)
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w: give PATTERN VALUE, such as \"@hashed immutable\" or \"*.html no-cache\"", text, err)
		}
		if value == Forever {
			value = valueForever
		}
		c = append(c, cacheRule{p, []byte(value), []byte(strings.Replace(value, "public", "private", 1))})
	}
	return c, nil
}

// Finish is a static.Finisher. What was had by a password is not for the caches of others.
func (c CacheControl) Finish(r static.Request, a *static.Answer) {
	switch a.Status {
	case 200, 206, 304:
	default:
		return
	}
	for i := range c {
		if c[i].Match(a.Path()) {
			if len(r.Header("Authorization")) > 0 {
				a.Set(keyCacheControl, c[i].private)
			} else {
				a.Set(keyCacheControl, c[i].value)
			}
			return
		}
	}
}

// Fields sets and removes fields.
type Fields []fieldRule

type fieldRule struct {
	pattern.Pattern
	name, value []byte // no value: the field is removed
}

// ParseFields reads rules of the form PATTERN NAME: VALUE, or PATTERN -NAME.
func ParseFields(rules []string) (f Fields, err error) {
	for _, text := range rules {
		p, rest, err := split(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w: give PATTERN NAME: VALUE, or PATTERN -NAME", text, err)
		}
		name, value, has := strings.Cut(rest, ":")
		remove := strings.HasPrefix(rest, "-") && !has
		name = strings.TrimPrefix(name, "-")
		value = strings.TrimSpace(value)
		switch {
		case !has && !remove || !httpguts.ValidHeaderFieldName(name) || has && value == "" || !httpguts.ValidHeaderFieldValue(value):
			return nil, fmt.Errorf("%q: %q is no header field: give PATTERN NAME: VALUE, or PATTERN -NAME to remove one", text, rest)
		case reserved(name):
			return nil, fmt.Errorf("%q: %s is set by the server itself, and must be true: leave it out", text, textproto.CanonicalMIMEHeaderKey(name))
		}
		f = append(f, fieldRule{p, []byte(textproto.CanonicalMIMEHeaderKey(name)), []byte(value)})
	}
	return f, nil
}

// reserved reports whether a field says how the message itself is to be read.
func reserved(name string) bool {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Content-Length", "Transfer-Encoding", "Connection", "Content-Encoding", "Content-Range", "Trailer", "Upgrade", "Keep-Alive", "Date", "Content-Type":
		return true
	}
	return false
}

// Finish is a static.Finisher.
func (f Fields) Finish(_ static.Request, a *static.Answer) {
	for i := range f {
		switch r := &f[i]; {
		case !r.Match(a.Path()):
		case len(r.value) == 0:
			a.Unset(r.name)
		default:
			a.Set(r.name, r.value)
		}
	}
}

// split splits PATTERN REST.
func split(text string) (p pattern.Pattern, rest string, err error) {
	first, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	if rest = strings.TrimSpace(rest); rest == "" {
		return p, "", errors.New("there is nothing behind the pattern")
	}
	p, err = pattern.Parse(first)
	return p, rest, err
}
