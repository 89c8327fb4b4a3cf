//go:build unix

package static

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
)

func TestMarkdown(t *testing.T) {
	s := serve(t, Options{Markdown: true, Encode: []int{gzipCoding}, Precompressed: true, Index: []string{"index.html", "README.md"}, Revalidate: -1})
	s.write(t, "README.md", []byte("# Read *me*\n\n<script>x</script>\n"))
	s.write(t, "a.markdown", []byte("text"))
	s.write(t, "a.txt", []byte("# no"))
	s.write(t, "large.md", bytes.Repeat([]byte("a\n"), mostMarkdown/2+1))
	const browser = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
	for _, tt := range []struct {
		path, accept, contentType, begins string
	}{
		{"README.md", browser, "text/html; charset=utf-8", "<!doctype html>"},
		{"", browser, "text/html; charset=utf-8", "<!doctype html>"},
		{"README.md", "*/*", "text/markdown; charset=utf-8", "# Read"},
		{"README.md", "", "text/markdown; charset=utf-8", "# Read"},
		{"README.md?format=html", "", "text/html; charset=utf-8", "<!doctype html>"},
		{"README.md?format=source", browser, "text/markdown; charset=utf-8", "# Read"},
		{"a.markdown", browser, "text/html; charset=utf-8", "<!doctype html>"},
		{"a.txt", browser, "text/plain; charset=utf-8", "# no"},
		{"large.md", browser, "text/markdown; charset=utf-8", "a\n"},
	} {
		a := s.ask(t, tt.path, "Accept", tt.accept)
		b, err := a.body()
		if a.Status != 200 || err != nil || string(a.ContentType) != tt.contentType || !strings.HasPrefix(string(b), tt.begins) {
			t.Errorf("%s, %q: %d %s %.40q %v", tt.path, tt.accept, a.Status, a.ContentType, b, err)
		}
		if html := tt.begins[0] == '<'; html != (a.field("Content-Security-Policy") != "") || html && (!bytes.Contains(b, []byte("<main>")) || bytes.Contains(b, []byte("<script"))) {
			t.Errorf("%s, %q: %v %s", tt.path, tt.accept, a.Fields, b)
		}
	}
	if off := serve(t, Options{}); true {
		off.write(t, "a.md", []byte("# x"))
		if a := off.ask(t, "a.md", "Accept", browser); string(a.ContentType) != "text/markdown; charset=utf-8" || a.field("Vary") != "" {
			t.Errorf("off: %s %v", a.ContentType, a.Fields)
		}
	}
}

// A page has a tag of its own, is kept, coded, and made anew when its text changes.
func TestMarkdownIsKept(t *testing.T) {
	s := serve(t, Options{Markdown: true, Encode: []int{gzipCoding}, Revalidate: -1})
	s.write(t, "a.md", []byte("# One\n"))
	s.settled(t, "a.md")
	plain := s.ask(t, "a.md")
	page := s.ask(t, "a.md", "Accept", "text/html")
	again := s.ask(t, "a.md", "Accept", "text/html")
	if page.Version == plain.Version || page.Version != again.Version {
		t.Error("the page is not kept")
	}
	tag := page.field("ETag")
	if tag == "" || tag == plain.field("ETag") || page.field("Vary") != "Accept, Accept-Encoding" {
		t.Errorf("%v", page.Fields)
	}
	if same := s.ask(t, "a.md", "Accept", "text/html", "If-None-Match", tag); same.Status != http.StatusNotModified {
		t.Errorf("%d", same.Status)
	}
	coded := s.ask(t, "a.md", "Accept", "text/html", "Accept-Encoding", "gzip")
	if coded.field("Content-Encoding") != "gzip" || string(coded.ContentType) != string(typeHTML) || coded.field("ETag") == tag {
		t.Errorf("%s %v", coded.ContentType, coded.Fields)
	}
	s.write(t, "a.md", []byte("# Two\n"))
	b, _ := s.ask(t, "a.md", "Accept", "text/html").body()
	if !bytes.Contains(b, []byte("Two")) {
		t.Errorf("%s", b)
	}
	eventually(t, "the new one is kept", func() bool {
		s.ask(t, "a.md", "Accept", "text/html", "Accept-Encoding", "gzip")
		return s.Stats().Files == 3 // the text, its page, and that coded
	})
}
