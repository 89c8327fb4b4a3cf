package headers

import (
	"strings"
	"testing"
)

func TestParseFailures(t *testing.T) {
	for _, tt := range []struct {
		parse func([]string) error
		rule  string
		says  string
	}{
		{cache, "", "nothing behind"},
		{cache, "*.css", "nothing behind"},
		{cache, "@x no-cache", "@hashed"},
		{cache, "*.css a\x01b", "cannot be the value"},
		{fields, "*.css Foo", "no header field"},
		{fields, "*.css F oo: x", "no header field"},
		{fields, "*.css Foo:", "no header field"},
		{fields, "*.css -", "no header field"},
		{fields, "** Content-Length: 3", "Content-Length is set by the server"},
		{fields, "** -transfer-encoding", "Transfer-Encoding is set by the server"},
		{cors, "example.org", "no origin"},
		{cors, "https://example.org/", "no origin"},
		{cors, "https://a.*.org", "no origin"},
		{cors, "https://u@example.org", "no origin"},
		{cors, "", "no origin"},
	} {
		if err := tt.parse([]string{tt.rule}); err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %q", tt.rule, err, tt.says)
		}
	}
}

func cache(s []string) error  { _, err := ParseCacheControl(s); return err }
func fields(s []string) error { _, err := ParseFields(s); return err }
func cors(s []string) error   { _, err := ParseCORS(s); return err }

func TestOrigins(t *testing.T) {
	c, err := ParseCORS([]string{"https://example.org", "https://*.example.com", "http://localhost:3000", "HTTPS://Large.org"})
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]bool{
		"https://example.org": true, "http://example.org": false, "https://example.org:444": false, "https://example.org.evil.net": false,
		"https://a.example.com": true, "https://a.b.example.com": true, "https://example.com": false, "https://evilexample.com": false,
		"https://evil.net/.example.com": false, "https://.example.com": false, "http://localhost:3000": true, "https://large.org": true, "null": false, "": false,
	} {
		if got := c.allows([]byte(from)); got != want {
			t.Errorf("%s: %v", from, got)
		}
	}
}
