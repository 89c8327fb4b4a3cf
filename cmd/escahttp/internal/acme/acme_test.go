package acme

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What an authority does with it is tested by Pebble, in a module beside.

func TestParseNames(t *testing.T) {
	for _, tt := range []struct{ text, want, err string }{
		{"example.org", "example.org", ""},
		{" A.example.org. ,b.example.org", "a.example.org b.example.org", ""},
		{"*.example.org", "", "a wildcard cannot be had"},
		{"192.0.2.1", "", "not its address"},
		{"localhost", "", "no name that an authority knows"},
		{"a.example.org,", "", "no name"},
		{"a.example.org,a.example.org", "", "is there twice"},
		{"a/b.example.org", "", "no name of a host"},
	} {
		names, err := ParseNames(tt.text)
		if got := strings.Join(names, " "); got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: %q, %v", tt.text, got, err)
		}
	}
}

func TestNew(t *testing.T) {
	d := t.TempDir()
	if err := os.WriteFile(d+"/file", []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		o   Options
		err string
	}{
		{Options{Dir: d + "/file/x"}, "certificates cannot be kept"},
		{Options{Dir: d + "/a", ServerCA: d + "/nope"}, "--acme-server-ca: open"},
		{Options{Dir: d + "/a", ServerCA: d + "/file"}, "holds no certificate"},
	} {
		if _, err := New(tt.o); err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%+v: %v", tt.o, err)
		}
	}
	if fi, err := os.Stat(filepath.Join(d, "a")); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", fi, err)
	}
}

// A handshake does not wait for the authority, and gets no certificate of names that are
// not ours.
func TestGet(t *testing.T) {
	m, err := New(Options{Dir: t.TempDir(), Names: []string{"a.example.org"}, Logf: t.Logf, Errorf: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, name := range []string{"a.example.org", "", "A.EXAMPLE.ORG.", "b.example.org"} {
		if c, err := m.Get(&tls.ClientHelloInfo{ServerName: name}); c != nil || !errors.Is(err, errNotYet) {
			t.Errorf("%q: %v, %v", name, c, err)
		}
	}
	if !m.Has("A.example.org.") || m.Has("b.example.org") {
		t.Error("it does not know its names")
	}
	for _, protos := range [][]string{nil, {"h2"}, {"h2", "acme-tls/1"}} {
		if m.Config(&tls.ClientHelloInfo{SupportedProtos: protos}) != nil {
			t.Errorf("%v is taken for a challenge", protos)
		}
	}
	if m.Config(&tls.ClientHelloInfo{SupportedProtos: []string{"acme-tls/1"}}) == nil {
		t.Error("a challenge is not recognised")
	}
}

// Whatever is given, names are plain ones, each once, or it is refused.
func FuzzParseNames(f *testing.F) {
	f.Add("example.org,www.example.org.")
	f.Add("*.example.org")
	f.Add("::1,a..b")
	f.Fuzz(func(t *testing.T, text string) {
		names, err := ParseNames(text)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, n := range names {
			if seen[n] || n == "" || n[len(n)-1] == '.' || !strings.Contains(n, ".") || strings.ContainsAny(n, "*:/, ") || strings.ToLower(n) != n {
				t.Errorf("%q has a name %q", text, n)
			}
			seen[n] = true
		}
	})
}
