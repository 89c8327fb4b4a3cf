package paths

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// asked is a static.Request.
type asked struct{ path, query, host string }

func (r asked) Method() []byte          { return []byte("GET") }
func (r asked) Path() []byte            { return []byte(r.path) }
func (r asked) Query() []byte           { return []byte(r.query) }
func (r asked) Host() []byte            { return []byte(r.host) }
func (r asked) Client() netip.Addr      { return netip.Addr{} }
func (r asked) Secure() bool            { return false }
func (r asked) Header(string) []byte    { return nil }
func (r asked) Headers(string) [][]byte { return nil }
func (r asked) Time() time.Time         { return time.Now() }

// leads returns where l leads from a path, and the status.
func leads(l static.Step, path, query string) (to string, status int) {
	var a static.Answer
	a.SetPath([]byte(path))
	if !l.Decide(asked{path, query, ""}, &a) {
		return string(a.Path()), 0
	}
	for _, f := range a.Fields {
		if string(f.Name) == "Location" {
			to = string(f.Value)
		}
	}
	return to, a.Status
}

func TestRedirects(t *testing.T) {
	l, err := ParseRedirects([]string{
		"/old /new", "/moved/** /there/$1 308", "/*/profile.php /u/$1 302", `~^/blog/(\d+)/(.*)$ https://blog.example.org/$2?id=$1`,
		"/all/** /$1", "/money /costs$$5", "~^/sub(.*)$ /$1",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path, query, to string
		status          int
	}{
		{"/old", "", "/new", 301},
		{"/old", "a=b", "/new?a=b", 301},
		{"/older", "", "/older", 0},
		{"/moved/a/b c.html", "", "/there/a/b%20c.html", 308},
		{"/moved/", "", "/there/", 308},
		{"/me/profile.php", "", "/u/me", 302},
		{"/a/b/profile.php", "", "/a/b/profile.php", 0},
		{"/blog/17/title", "x=y", "https://blog.example.org/title?id=17", 301},
		{"/all/\r\nSet-Cookie: x", "", "/%0D%0ASet-Cookie:%20x", 301},
		{"/all/?x=1#y", "", "/%3Fx=1%23y", 301},
		{"/money", "", "/costs$5", 301},
		// What a client has sent leads to no other host.
		{"/sub/evil.org", "", "/evil.org", 301},
		{"/all//evil.org", "", "/evil.org", 301},
		{"/all/\\evil.org", "", "/%5Cevil.org", 301},
	} {
		if to, status := leads(l, tt.path, tt.query); to != tt.to || status != tt.status {
			t.Errorf("%q?%s: %d %q, want %d %q", tt.path, tt.query, status, to, tt.status, tt.to)
		}
	}
}

func TestRewrites(t *testing.T) {
	l, err := ParseRewrites([]string{"/app/** /index.html", "/v*/** /$2", "~^/up(.*)$ /$1", "/a /b", "/b /c"})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/app/x/y": "/index.html", "/v12/a b.js": "/a b.js", "/v12/": "/", "/other": "/other", "/a": "/b",
		"/up/../../etc/passwd": "/etc/passwd", "/up..": "/", "/upx/": "/x/",
	} {
		if to, status := leads(l, path, ""); to != want || status != 0 {
			t.Errorf("%q: %d %q, want %q", path, status, to, want)
		}
	}
}

// Whatever the rules and the path are, nothing but text that is escaped comes of the
// path, no host is the client's, and a path that was rewritten has no dots.
func FuzzRules(f *testing.F) {
	f.Add("/a/**", "/b/$1", "/a/b/../c")
	f.Add("~^/(.*)$", "//$1", "/evil.org")
	f.Add("~(a+)+$", "https://x/$1$$", "/aaaaaaaaaaaaaaaa!")
	f.Fuzz(func(t *testing.T, from, to, path string) {
		path = "/" + path
		if l, err := ParseRedirects([]string{from + " " + to}); err == nil {
			if to, status := leads(l, path, ""); status != 0 && (strings.ContainsAny(to, "\r\n") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, "/\\")) {
				t.Errorf("%q leads to %q", path, to)
			}
		}
		if l, err := ParseRewrites([]string{from + " " + to}); err == nil {
			to, _ := leads(l, path, "")
			if to != path && (to[0] != '/' || strings.Contains(to, "//") || strings.Contains(to+"/", "/../")) {
				t.Errorf("%q leads to %q", path, to)
			}
		}
	})
}
