// Package config reads the configuration file: TOML, of which each key is the name of a
// flag, and each value what the flag would be given, or a list of that for a flag that may
// be repeated.
package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// File is a configuration file.
type File struct {
	Name   string
	text   []byte
	values map[string]any
}

// longest bounds how large a file may be.
const longest = 1 << 20

// Read reads the file at name.
func Read(name string) (*File, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	return Parse(name, text)
}

// Parse reads what is in the file at name. An error names the file and the line.
func Parse(name string, text []byte) (*File, error) {
	if len(text) > longest {
		return nil, fmt.Errorf("%s: it has more than %d bytes", name, longest)
	}
	f := &File{Name: name, text: text}
	if err := toml.Unmarshal(text, &f.values); err != nil {
		var de *toml.DecodeError
		if errors.As(err, &de) {
			line, column := de.Position()
			return nil, fmt.Errorf("%s, line %d, column %d: %s", name, line, column, oneLine(strings.TrimPrefix(de.Error(), "toml: ")))
		}
		return nil, fmt.Errorf("%s: %s", name, oneLine(err.Error()))
	}
	return f, nil
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", "; ") }

// Text is what is in the file.
func (f *File) Text() []byte { return f.text }

// Keys returns the keys of the file, in order.
func (f *File) Keys() []string { return slices.Sorted(maps.Keys(f.values)) }

// Where says where key is in the file.
func (f *File) Where(key string) string {
	at := regexp.MustCompile(`(?m)^[ \t]*["']?` + regexp.QuoteMeta(key) + `["']?[ \t]*[=.]`).FindIndex(f.text)
	if at == nil {
		return f.Name
	}
	return fmt.Sprintf("%s, line %d", f.Name, strings.Count(string(f.text[:at[0]]), "\n")+1)
}

// Value returns what key is set to, as a flag would be: a list as its elements, a line
// each. ok is false if it is not set.
func (f *File) Value(key string) (value string, ok bool, err error) {
	v, ok := f.values[key]
	if !ok {
		return "", false, nil
	}
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	var lines []string
	for _, e := range list {
		s, err := scalar(e)
		if err != nil {
			return "", false, fmt.Errorf("%s: %s: %w", f.Where(key), key, err)
		}
		if isList && strings.Contains(s, "\n") {
			return "", false, fmt.Errorf("%s: %s: there is a line end in an element of the list", f.Where(key), key)
		}
		lines = append(lines, s)
	}
	return strings.Join(lines, "\n"), true, nil
}

func scalar(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool, int64, float64:
		return fmt.Sprint(v), nil
	}
	return "", errors.New("give text in quotes, a number, true or false, or a list of them")
}

// Unknown returns the first key that is none of known, and what may be meant; "" if there
// is none.
func (f *File) Unknown(known []string) (key, meant string) {
	for _, k := range f.Keys() {
		if slices.Contains(known, k) {
			continue
		}
		best := 3
		for _, other := range known {
			if d := distance(strings.ReplaceAll(k, "_", "-"), other); d < best {
				meant, best = other, d
			}
		}
		return k, meant
	}
	return "", ""
}

// distance is how many characters have to be inserted, removed or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := before
			if a[i] != b[j] {
				d = 1 + min(before, row[j], row[j+1])
			}
			before, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}
