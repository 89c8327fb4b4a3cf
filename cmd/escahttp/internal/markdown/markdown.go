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
	"time"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
)

//go:embed page.html
var pageTemplate string

var page = template.Must(template.New("markdown").Parse(pageTemplate))

// Policy is the Content-Security-Policy of pages: no script, and nothing from elsewhere but
// pictures and films.
const Policy = "default-src 'none'; style-src 'unsafe-inline'; img-src * data:; media-src *; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

var converter = goldmark.New(
	goldmark.WithExtensions(extension.GFM, extension.Footnote, bounding{}),
	goldmark.WithParserOptions(parser.WithAutoHeadingID()),
)

// Page returns the page of source, which is the file at name. Its title is the first
// heading, or else the name. With ErrTooComplex the page shows source as it is.
func Page(name string, source []byte) ([]byte, error) { return makePage(name, source, mostTime) }

func makePage(name string, source []byte, within time.Duration) ([]byte, error) {
	var body, out bytes.Buffer
	show := struct {
		Title, Plain string
		Body         template.HTML
	}{Title: path.Base(name)}
	doc, complex := parse(source, within)
	if complex == nil {
		if err := converter.Renderer().Render(&body, source, doc); err != nil {
			return nil, err
		}
		if title := heading(doc, source); title != "" {
			show.Title = title
		}
		show.Body = template.HTML(body.String()) // which goldmark has made, without what was HTML in source
	} else {
		show.Plain = string(source)
	}
	if err := page.Execute(&out, show); err != nil {
		return nil, err
	}
	return out.Bytes(), complex
}

// heading is the text of the first heading of doc.
func heading(doc ast.Node, source []byte) string {
	var b strings.Builder
	within := false
	ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		switch n := n.(type) {
		case *ast.Heading:
			if !entering {
				return ast.WalkStop, nil
			}
			within = true
		case *ast.Text:
			if entering && within {
				b.Write(n.Value(source))
			}
		}
		return ast.WalkContinue, nil
	})
	return strings.TrimSpace(b.String())
}
