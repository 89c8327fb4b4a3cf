package config

import (
	"strings"
	"testing"
)

func TestValues(t *testing.T) {
	f, err := Parse("x.toml", []byte("# site\nroot = \"/srv\"\nloops = 2\nlist = true\nheader = [\n  \"** A: b\",\n  \"** C: d\",\n]\n'spa' = '/i.html'\n"))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"root": "/srv", "loops": "2", "list": "true", "header": "** A: b\n** C: d", "spa": "/i.html"} {
		if got, ok, err := f.Value(key); got != want || !ok || err != nil {
			t.Errorf("%s: %q %v %v", key, got, ok, err)
		}
	}
	if _, ok, _ := f.Value("nope"); ok {
		t.Error("a key that is not there has a value")
	}
	for key, want := range map[string]string{"root": "x.toml, line 2", "header": "x.toml, line 5", "spa": "x.toml, line 9", "nope": "x.toml"} {
		if got := f.Where(key); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
}

func TestUnknown(t *testing.T) {
	for text, want := range map[string]string{
		"adr = 1": "adr addr", "cache_size = 1": "cache_size cache-size", "wholly-other = 1": "wholly-other ", "addr = 1": " ", "[table]\naddr = 1": "table ",
	} {
		f, err := Parse("x", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		key, meant := f.Unknown([]string{"addr", "cache-size", "loops"})
		if got := key + " " + meant; got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"a = 1\nb = ":     "x.toml, line 2",
		"a = 1\na = 2":    "x.toml",
		"a = \"\n":        "x.toml, line 1",
		"\xff\xfe":        "x.toml",
		"a = 1\n\n[[a]]x": "x.toml",
	} {
		if _, err := Parse("x.toml", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	f, err := Parse("x.toml", []byte("a = 1\nb = [[1]]\nc = 1979-05-27\nd = [\"a\\nb\"]"))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"b": "x.toml, line 2: b: give text", "c": "x.toml, line 3: c: give text", "d": "x.toml, line 4: d: there is a line end"} {
		if _, _, err := f.Value(key); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// Whatever the file holds, reading it ends, and what is wrong is said in one line.
func FuzzParse(f *testing.F) {
	f.Add([]byte("a = [1, 2]\n[b]\nc = \"x\""))
	f.Add([]byte("\"\\u0000\" = '''\n'''"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("x", text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		for _, k := range c.Keys() {
			c.Where(k)
			c.Value(k)
		}
		c.Unknown([]string{"addr"})
	})
}
