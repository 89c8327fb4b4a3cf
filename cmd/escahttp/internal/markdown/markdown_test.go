package markdown

import (
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	for _, tt := range []struct {
		name, source string
		want         []string
		not          []string
	}{
		{"title", "text\n\nA *fine* `title`\n===\n\n# Other", []string{"<title>A fine title</title>", `<h1 id="a-fine-title">`, `<h1 id="other">`}, nil},
		{"no title", "text", []string{"<title>x.md</title>", "<p>text</p>"}, nil},
		{"table", "|a|b|\n|-|-:|\n|1|2|", []string{"<table>", "<td>1</td>", `text-align:right`}, nil},
		{"tasks", "- [x] done\n- [ ] not", []string{`<input checked="" disabled="" type="checkbox"`}, nil},
		{"footnote", "a[^1]\n\n[^1]: b", []string{`class="footnotes"`}, nil},
		{"link", "https://example.org and [a](b.md#c)", []string{`<a href="https://example.org">`, `<a href="b.md#c">a</a>`}, nil},
		{"code", "```go\n<b>&\n```", []string{`<code class="language-go">&lt;b&gt;&amp;`}, nil},
		{"HTML", "<script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n\na <b onclick=x>b</b>", []string{"raw HTML omitted", "a <!-- raw HTML omitted -->b"}, []string{"<script", "onerror", "<b "}},
		{"links that run", "[a](javascript:alert(1)) ![b](vbscript:x) [c](data:text/html,x) <javascript:alert(1)> [d](JaVaScRiPt:x)", []string{`<a href="">a</a>`}, []string{"javascript:alert(1)\"", "vbscript", "data:text", "JaVaScRiPt"}},
		{"title of HTML", "# </title><script>x</script>", []string{"<title>"}, []string{"<script"}},
		{"attributes", "# a {onclick=alert(1)}\n\n![x](y \"\\\" onerror=z\")", nil, []string{" onclick=\"", "\" onerror"}},
	} {
		b, err := Page("d/x.md", []byte(tt.source))
		if err != nil {
			t.Fatal(err)
		}
		html := string(b)
		for _, want := range tt.want {
			if !strings.Contains(html, want) {
				t.Errorf("%s: %q is not in %s", tt.name, want, html)
			}
		}
		for _, not := range tt.not {
			if strings.Contains(html, not) {
				t.Errorf("%s: %q is in %s", tt.name, not, html)
			}
		}
	}
}

// Nothing that is in a text becomes an element that can run something, or load a page.
func FuzzPage(f *testing.F) {
	for _, s := range []string{"# a", "<script>", "[a](javascript:x)", "![](data:image/png;base64,x)", "a\n=\n|b|\n|-|", "<a href='javascript:x'>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := Page("x", []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := strings.Cut(string(b), "<main>")
		body = strings.ToLower(body)
		for _, bad := range []string{"<script", "<iframe", "<object", "<style", "<link", "<meta", "<base", "<form", `href="javascript:`, `src="javascript:`} {
			if strings.Contains(body, bad) {
				t.Errorf("%q becomes %s", s, body)
			}
		}
	})
}
