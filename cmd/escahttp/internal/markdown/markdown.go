// Package markdown makes pages of Markdown: CommonMark with tables, task lists, footnotes
// and links that are written out. HTML in it is left out, and so are links that would run
// a script: who may write a text may not command a browser.
package markdown

import (
	"bytes"
	_ "embed"
	"html/template"
	"path"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

//go:embed page.html
var pageTemplate string

var page = template.Must(template.New("markdown").Parse(pageTemplate))

// Policy is the Content-Security-Policy of pages: no script, and nothing from elsewhere but
// pictures and films.
const Policy = "default-src 'none'; style-src 'unsafe-inline'; img-src * data:; media-src *; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

var converter = goldmark.New(
	goldmark.WithExtensions(extension.GFM, extension.Footnote),
	goldmark.WithParserOptions(parser.WithAutoHeadingID()),
)

// Page returns the page of source, which is the file at name. Its title is the first
// heading, or else the name.
func Page(name string, source []byte) ([]byte, error) {
	doc := converter.Parser().Parse(text.NewReader(source))
	var body, out bytes.Buffer
	if err := converter.Renderer().Render(&body, source, doc); err != nil {
		return nil, err
	}
	title := heading(doc, source)
	if title == "" {
		title = path.Base(name)
	}
	err := page.Execute(&out, struct {
		Title string
		Body  template.HTML
	}{title, template.HTML(body.String())}) // which goldmark has made, without what was HTML in source
	return out.Bytes(), err
}

// heading is the text of the first heading of doc.
func heading(doc ast.Node, source []byte) string {
	var b strings.Builder
	ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		switch n := n.(type) {
		case *ast.Heading:
			if !entering {
				return ast.WalkStop, nil
			}
		case *ast.Text:
			if entering && within(n) {
				b.Write(n.Value(source))
			}
		}
		return ast.WalkContinue, nil
	})
	return strings.TrimSpace(b.String())
}

// within reports whether n is in a heading.
func within(n ast.Node) bool {
	for ; n != nil; n = n.Parent() {
		if n.Kind() == ast.KindHeading {
			return true
		}
	}
	return false
}
