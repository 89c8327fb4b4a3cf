// Package paths has the rules that lead from one path to another: Redirects send the
// client there, Rewrites serve what is there.
//
//	/old /new                    one path
//	/old/** /new/$1              what the stars stand for is $1, $2, ... in their order
//	~^/u/(\d+)$ /users/$1.html   a regular expression (RE2), and its groups
package paths

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// rule leads from paths that match to another.
type rule struct {
	exact  string // or
	from   *regexp.Regexp
	to     []part
	status int
}

// part of a target: text, or a group.
type part struct {
	text  string
	group int // 0: text
}

// parse reads FROM TO.
func parse(from, to string) (r rule, err error) {
	groups := 0
	switch {
	case strings.ContainsFunc(from+to, unicode.IsControl):
		return r, errors.New("there is a control character in it")
	case !utf8.ValidString(from):
		return r, errors.New("FROM is not in UTF-8")
	case strings.HasPrefix(from, "~"):
		if r.from, err = regexp.Compile(from[1:]); err != nil {
			return r, fmt.Errorf("%s is no regular expression: %w", from[1:], err)
		}
		groups = r.from.NumSubexp()
	case !strings.HasPrefix(from, "/"):
		return r, fmt.Errorf("FROM is %s: give a path that begins with a slash, or ~ and a regular expression", from)
	case strings.Contains(from, "*"):
		r.from, groups = stars(from)
	default:
		r.exact = from
	}
	r.to, err = template(to, groups)
	return r, err
}

// stars makes a regular expression of a pattern, whose stars are its groups.
func stars(pattern string) (*regexp.Regexp, int) {
	var b strings.Builder
	b.WriteString("(?s)^")
	groups := 0
	for i := 0; i < len(pattern); i++ {
		switch {
		case strings.HasPrefix(pattern[i:], "**"):
			b.WriteString("(.*)")
			groups++
			i++
		case pattern[i] == '*':
			b.WriteString("([^/]*)")
			groups++
		default:
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	return regexp.MustCompile(b.String() + "$"), groups
}

// template reads a target, which may name groups as $1 to $9; $$ is a dollar.
func template(to string, groups int) (parts []part, err error) {
	for {
		text, rest, found := strings.Cut(to, "$")
		if text != "" {
			parts = append(parts, part{text: text})
		}
		if !found {
			return parts, nil
		}
		switch {
		case strings.HasPrefix(rest, "$"):
			parts = append(parts, part{text: "$"})
		case rest == "" || rest[0] < '1' || rest[0] > '9':
			return nil, errors.New("there is a $ without a digit behind it: give $1 to $9, or $$ for a dollar")
		case int(rest[0]-'0') > groups:
			return nil, fmt.Errorf("there is a $%c, but the stars and groups of FROM are %d", rest[0], groups)
		default:
			parts = append(parts, part{group: int(rest[0] - '0')})
		}
		to = rest[1:]
	}
}

// apply returns where the rule leads from p; "" if it is not one for p. escape is done to
// what a group holds.
func (r *rule) apply(p []byte, escape func(string) string) string {
	if r.from == nil {
		if string(p) != r.exact {
			return ""
		}
		return r.join(nil, escape)
	}
	m := r.from.FindSubmatch(p)
	if m == nil {
		return ""
	}
	return r.join(m, escape)
}

func (r *rule) join(groups [][]byte, escape func(string) string) string {
	var b strings.Builder
	for _, t := range r.to {
		if t.group == 0 {
			b.WriteString(t.text)
		} else {
			b.WriteString(escape(string(groups[t.group])))
		}
	}
	return b.String()
}

// Redirects are a static.Step.
type Redirects []rule

// ParseRedirects reads rules of the form FROM TO [STATUS].
func ParseRedirects(rules []string) (list Redirects, err error) {
	for _, text := range rules {
		f := strings.Fields(text)
		if len(f) < 2 || len(f) > 3 {
			return nil, fmt.Errorf("%q: give FROM TO, and a status behind it if it is not to be 301", text)
		}
		r, err := parse(f[0], f[1])
		if err == nil {
			err = checkTarget(f[1])
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		if r.status = http.StatusMovedPermanently; len(f) == 3 {
			switch r.status, _ = strconv.Atoi(f[2]); r.status {
			case 301, 302, 303, 307, 308:
			default:
				return nil, fmt.Errorf("%q: %s is no status of a redirect: give 301, 302, 303, 307 or 308", text, f[2])
			}
		}
		list = append(list, r)
	}
	return list, nil
}

// checkTarget refuses a target of which a client could choose the host.
func checkTarget(to string) error {
	if strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") {
		return nil
	}
	scheme, rest, ok := strings.Cut(to, "://")
	host, _, slash := strings.Cut(rest, "/")
	switch {
	case !ok || scheme != "http" && scheme != "https":
		return errors.New("TO is neither a path that begins with one slash nor an address that begins with http:// or https://")
	case host == "":
		return errors.New("TO has no host")
	case strings.Contains(host, "$") || !slash && strings.Contains(to, "$"):
		return errors.New("TO has a $ in its host, which clients could choose: give a rule for each host")
	}
	return nil
}

// Decide is a static.Step.
func (l Redirects) Decide(r static.Request, a *static.Answer) bool {
	for i := range l {
		to := l[i].apply(a.Path(), escapePath)
		if to == "" {
			continue
		}
		if strings.HasPrefix(to, "/") { // of two slashes, the second would begin a host
			to = "/" + strings.TrimLeft(to, "/\\")
		}
		if q := r.Query(); len(q) > 0 && !strings.Contains(to, "?") && !strings.Contains(to, "#") {
			to += "?" + string(q)
		}
		a.Set(keyLocation, []byte(to))
		a.Fail(l[i].status)
		return true
	}
	return false
}

// escapePath escapes what a client has sent, but for the slashes in it.
func escapePath(s string) string {
	return strings.TrimPrefix((&url.URL{Path: "/" + s}).EscapedPath(), "/")
}

// Rewrites are a static.Step. The first that is for a path counts, once.
type Rewrites []rule

// ParseRewrites reads rules of the form FROM TO.
func ParseRewrites(rules []string) (list Rewrites, err error) {
	for _, text := range rules {
		f := strings.Fields(text)
		if len(f) != 2 {
			return nil, fmt.Errorf("%q: give FROM TO", text)
		}
		r, err := parse(f[0], f[1])
		if err == nil && !strings.HasPrefix(f[1], "/") {
			err = errors.New("TO is no path of this site: begin it with a slash (--redirect leads to other sites)")
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		list = append(list, r)
	}
	return list, nil
}

// Decide is a static.Step.
func (l Rewrites) Decide(_ static.Request, a *static.Answer) bool {
	for i := range l {
		if to := l[i].apply(a.Path(), func(s string) string { return s }); to != "" {
			a.SetPath(Clean(to))
			return false
		}
	}
	return false
}

// Clean returns p without dot segments and empty ones, as the paths of requests are.
func Clean(p string) []byte {
	b := []byte(path.Clean("/" + p))
	if len(b) > 1 && (strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")) {
		b = append(b, '/')
	}
	return b
}

var keyLocation = []byte("Location")
