// Package hosts finds what belongs to a host by its name: example.org, or *.example.org
// for all names beneath it. A name that is written out comes before a wildcard, and a
// longer wildcard before a shorter one.
package hosts

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Names leads from names to what belongs to them.
type Names[T any] struct {
	exact map[string]T
	wild  []wildcard[T] // the longest first
}

type wildcard[T any] struct {
	suffix string // with its dot in front
	value  T
}

// Add adds a name, which may begin with "*.".
func (n *Names[T]) Add(name string, value T) error {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	rest, wild := strings.CutPrefix(name, "*")
	plain := strings.TrimPrefix(rest, ".")
	if plain == "" || wild && rest[0] != '.' || strings.ContainsFunc(plain, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	}) || strings.Contains("."+plain+".", "..") {
		return fmt.Errorf("%q is no name of a host: give one such as example.org or *.example.org", name)
	}
	if _, there := n.exact[name]; there || slices.ContainsFunc(n.wild, func(w wildcard[T]) bool { return wild && w.suffix == rest }) {
		return fmt.Errorf("%q is there twice", name)
	}
	if wild {
		n.wild = append(n.wild, wildcard[T]{rest, value})
		slices.SortFunc(n.wild, func(a, b wildcard[T]) int { return len(b.suffix) - len(a.suffix) })
		return nil
	}
	if n.exact == nil {
		n.exact = map[string]T{}
	}
	n.exact[name] = value
	return nil
}

// Get returns what belongs to a host, which may have a port behind it, and be in large
// letters. ok is false if nothing does.
func (n *Names[T]) Get(host []byte) (value T, ok bool) {
	if i := bytes.LastIndexByte(host, ':'); i >= 0 && host[len(host)-1] != ']' {
		host = host[:i]
	}
	host = bytes.TrimSuffix(host, []byte{'.'})
	if bytes.ContainsFunc(host, func(r rune) bool { return 'A' <= r && r <= 'Z' }) {
		host = bytes.ToLower(host)
	}
	if value, ok = n.exact[string(host)]; ok {
		return value, true
	}
	for i := range n.wild {
		if w := &n.wild[i]; len(host) > len(w.suffix) && string(host[len(host)-len(w.suffix):]) == w.suffix {
			return w.value, true
		}
	}
	return value, false
}
