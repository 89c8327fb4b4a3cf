package markdown

import (
	"errors"
	"strings"
	"testing"
	"time"
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

// Texts for which the time grows with the square of their length are shown as they are,
// once the time is over: each would take minutes, if not days.
func TestTextsThatTakeTooLong(t *testing.T) {
	const n = 1 << 20
	for name, source := range map[string]string{
		"quotes":             strings.Repeat(">", n),
		"quotes with spaces": strings.Repeat("> ", n/2) + "x",
		"lists":              strings.Repeat("- ", n/2) + "x",
		"numbers":            strings.Repeat("1. ", n/3) + "x",
		"links":              strings.Repeat("[a](", n/4),
		"lazy lines":         strings.Repeat(">", n/2) + strings.Repeat("x\n", n/4),
	} {
		b, err := makePage("d/x.md", []byte(source), 20*time.Millisecond)
		if !errors.Is(err, ErrTooComplex) {
			t.Errorf("%s: %v", name, err)
		}
		if html := string(b); !strings.Contains(html, "<title>x.md</title>") || !strings.Contains(html, "<pre>"+strings.ReplaceAll(source[:20], ">", "&gt;")) {
			t.Errorf("%s: %.3000s", name, html)
		}
	}
	if b, err := makePage("x", []byte("<script>"), -1); !errors.Is(err, ErrTooComplex) || !strings.Contains(string(b), "<pre>&lt;script&gt;</pre>") {
		t.Errorf("%v: %s", err, b)
	}
}

// A wide table whose rows are short is filled up: 64 KiB would be cells for GiB.
func TestTablesThatAreFilledUp(t *testing.T) {
	table := func(columns, rows int, row string) string {
		return strings.Repeat("|x", columns) + "\n" + strings.Repeat("|-", columns) + "\n" + strings.Repeat(row+"\n", rows) + "\n"
	}
	for _, tt := range []struct {
		name, source string
		tables       int
	}{
		{"short rows", table(8000, 16000, "x"), 0},
		{"few are filled up", table(10, 100, "|x"), 1},
		{"whole rows", table(400, 100, strings.Repeat("|x", 400)), 1},
		{"many tables", strings.Repeat(table(100, 100, "x"), 100), 10},
	} {
		b, err := makePage("x", []byte(tt.source), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(b), "<table>"); n != tt.tables || len(b) > 16<<20 {
			t.Errorf("%s: %d tables of %d, in %d bytes", tt.name, n, tt.tables, len(b))
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
