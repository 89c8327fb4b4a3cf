package markdown

import (
	"bytes"
	"errors"
	"time"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// A text of a few KiB can be made to take hours (blocks and brackets within each other,
// for which goldmark's time grows with the square), or to become a page of GiB (a wide
// table whose rows are short and are filled up). So it has a time, and tables have as many
// cells that are not in the text as nobody notices.
const (
	mostTime   = 2 * time.Second
	mostFilled = 100_000 // cells, of all tables of a text
)

// ErrTooComplex is for texts that would take too long: Page shows them as they are.
var ErrTooComplex = errors.New("it takes too long to make a page of")

// bounds are those of one text.
type bounds struct {
	until  time.Time
	filled int
}

var boundsKey = parser.NewContextKey()

// look ends the parser, by a panic that parse recovers from, when the time is over.
func (b *bounds) look() {
	if time.Now().After(b.until) {
		panic(ErrTooComplex)
	}
}

// parse parses source, for as long as that may take.
func parse(source []byte, within time.Duration) (doc ast.Node, err error) {
	defer func() {
		if v := recover(); v != nil {
			if v != error(ErrTooComplex) {
				panic(v)
			}
			err = ErrTooComplex
		}
	}()
	b := &bounds{until: time.Now().Add(within)}
	pc := parser.NewContext()
	pc.Set(boundsKey, b)
	doc = converter.Parser().Parse(boundedReader{text.NewReader(source), b}, parser.WithContext(pc))
	b.look()
	return doc, nil
}

// boundedReader is what blocks are read from.
type boundedReader struct {
	text.Reader
	*bounds
}

func (r boundedReader) PeekLine() ([]byte, text.Segment) {
	r.look()
	return r.Reader.PeekLine()
}

// boundedInlines is asked before all others, and never finds anything.
type boundedInlines struct{}

func (boundedInlines) Trigger() []byte { return []byte("![]<`*_~( ") }

func (boundedInlines) Parse(_ ast.Node, _ text.Reader, pc parser.Context) ast.Node {
	pc.Get(boundsKey).(*bounds).look()
	return nil
}

// boundedTables makes the tables that are not too much larger than their text.
type boundedTables struct{ parser.ParagraphTransformer }

func (t boundedTables) Transform(node *ast.Paragraph, reader text.Reader, pc parser.Context) {
	b := pc.Get(boundsKey).(*bounds)
	columns, rows, cells := 0, 0, 0
	for i := range node.Lines().Len() {
		line := node.Lines().At(i)
		value := line.Value(reader.Source())
		n := bytes.Count(value, []byte{'|'}) + 1
		if bytes.IndexByte(value, '-') >= 0 && len(bytes.Trim(value, "|:- \t\r\n")) == 0 {
			if columns == 0 { // it begins here
				rows, cells = 0, 0
			}
			columns = max(columns, n)
			continue
		}
		rows, cells = rows+1, cells+min(n, columns)
	}
	if filled := columns*rows - cells; filled > 0 {
		if filled > mostFilled-b.filled {
			return // it stays text
		}
		b.filled += filled
	}
	t.ParagraphTransformer.Transform(node, reader, pc)
}

// bounding has goldmark keep to the bounds. It is to come behind the extensions.
type bounding struct{}

// Extend is goldmark.Extender's.
func (e bounding) Extend(m goldmark.Markdown) { m.Parser().AddOptions(e) }

// SetParserOption is parser.Option's.
func (bounding) SetParserOption(c *parser.Config) {
	c.InlineParsers = append(c.InlineParsers, util.Prioritized(boundedInlines{}, -1))
	for i, t := range c.ParagraphTransformers {
		if inner := t.Value.(parser.ParagraphTransformer); inner != parser.LinkReferenceParagraphTransformer {
			c.ParagraphTransformers[i] = util.Prioritized(boundedTables{inner}, t.Priority)
		}
	}
}
