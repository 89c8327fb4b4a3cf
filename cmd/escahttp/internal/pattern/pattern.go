// Package pattern matches paths against patterns, as rules name the files that they are
// for.
//
//	*.css          files that end in .css, in any folder
//	/assets/**     all beneath /assets/
//	/img/*.png     those in /img/ itself
//	/robots.txt    that one
//	**             everything
//	@hashed        files whose name holds a hash of their contents, as bundlers give them
//
// A * stands for anything but a slash, ** for anything, ? for one character. A pattern
// that has no slash is one for the last part of the path.
package pattern

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Pattern is a pattern. The zero Pattern matches nothing.
type Pattern struct {
	text  string
	match func(path []byte) bool
}

// Hashed is the pattern of files whose name holds a hash.
const Hashed = "@hashed"

// Parse reads a pattern.
func Parse(text string) (Pattern, error) {
	p := Pattern{text: text}
	wild := strings.ContainsAny(text, "*?")
	switch {
	case text == "":
		return p, errors.New("a pattern is empty: give one such as *.css or /assets/**")
	case !utf8.ValidString(text):
		return p, fmt.Errorf("the pattern %q is not in UTF-8", text)
	case text == Hashed:
		p.match = hashed
	case text[0] == '@':
		return p, errors.New("the pattern \"" + text + "\" is not known: @hashed is the only one with a name")
	case text == "**" || text == "/**" || text == "*":
		p.match = func([]byte) bool { return true }
	case !wild && text[0] == '/':
		p.match = func(path []byte) bool { return string(path) == text }
	case strings.HasPrefix(text, "*") && !strings.ContainsAny(text[1:], "*?/"):
		suffix := []byte(text[1:])
		p.match = func(path []byte) bool { return bytes.HasSuffix(path, suffix) }
	case text[0] == '/' && strings.HasSuffix(text, "/**") && !strings.ContainsAny(text[:len(text)-2], "*?"):
		prefix := []byte(text[:len(text)-2])
		p.match = func(path []byte) bool { return bytes.HasPrefix(path, prefix) }
	default:
		p.match = expression(text).Match
	}
	return p, nil
}

// Match reports whether the pattern is one for path, which is decoded and begins with a
// slash.
func (p *Pattern) Match(path []byte) bool { return p.match != nil && p.match(path) }

// String returns the pattern as it was given.
func (p Pattern) String() string { return p.text }

// expression makes a regular expression of a pattern, of which the time does not explode.
func expression(text string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)^`)
	switch {
	case !strings.Contains(text, "/"):
		b.WriteString(`.*/`)
	case text[0] != '/':
		b.WriteByte('/')
	}
	for i := 0; i < len(text); i++ {
		switch {
		case strings.HasPrefix(text[i:], "**"):
			b.WriteString(`.*`)
			i++
		case text[i] == '*':
			b.WriteString(`[^/]*`)
		case text[i] == '?':
			b.WriteString(`[^/]`)
		default:
			b.WriteString(regexp.QuoteMeta(text[i : i+1]))
		}
	}
	b.WriteByte('$')
	return regexp.MustCompile(b.String())
}

// leastHash is how long a hash is at least.
const leastHash = 8

// hashed reports whether the name of a file holds a hash of its contents: at least eight
// letters and digits between a dot or hyphen and the extension (app.3f8a91c2.js,
// index-BxY3k_2d.css), of both kinds. Hexadecimal digits are taken for a hash; others
// only if there are large and small letters among them: a date is none, nor a word.
func hashed(path []byte) bool {
	name := path[bytes.LastIndexByte(path, '/')+1:]
	name = bytes.TrimSuffix(name, []byte(".map"))
	end := bytes.LastIndexByte(name, '.')
	if end < 0 {
		return false
	}
	begin := bytes.LastIndexAny(name[:end], ".-") + 1
	hash := name[begin:end]
	if begin == 0 || len(hash) < leastHash {
		return false
	}
	digit, small, large, hex := false, false, false, true
	for _, c := range hash {
		switch {
		case '0' <= c && c <= '9':
			digit = true
		case 'a' <= c && c <= 'z':
			small, hex = true, hex && c <= 'f'
		case 'A' <= c && c <= 'Z':
			large, hex = true, hex && c <= 'F'
		case c != '_':
			return false
		default:
			hex = false
		}
	}
	return hex && digit && (small || large) || digit && small && large
}
