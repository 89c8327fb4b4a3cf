package static

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"net/url"
	"runtime"

	"github.com/escahttp/esca/cmd/escahttp/internal/markdown"
)

// markdownPages is a Step that shows Markdown as a page, to who asks for one: by ?format=html,
// or by Accept, as browsers do for what they navigate to. ?format=source is the file itself.
// What was made of a version is kept, and its tag is of its contents.
type markdownPages struct {
	files *files
	logf  func(string, ...any)
	busy  chan struct{} // of as many as may be made at once
}

// mostMarkdown is how large a text may be that is shown as a page.
const mostMarkdown = 1 << 20

// markdownMark is behind the name of a file in the name under which its page is kept.
const markdownMark = "\x00m"

func newMarkdownPages(f *files, o Options) *markdownPages {
	return &markdownPages{files: f, logf: o.Logf, busy: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

// Decide is a Step.
func (m *markdownPages) Decide(r Request, a *Answer) bool {
	v := a.Version
	if a.alone || !bytes.HasPrefix(v.contentType, typeMarkdown) || v.size < 0 || v.size > mostMarkdown || v.growing || v.generated() {
		return false
	}
	format := ""
	if q := r.Query(); bytes.Contains(q, []byte("format=")) {
		values, _ := url.ParseQuery(string(q))
		format = values.Get("format")
	}
	switch format {
	case "source":
		return false
	case "html":
	default:
		a.Vary(keyAccept)
		if !accepts(r, "text/html") {
			return false
		}
	}
	a.beside = append(append(a.beside[:0], a.file...), markdownMark...)
	n := m.files.derived(a.beside, v)
	if n == nil {
		if n = m.render(v, a.beside, string(a.file)); n == nil {
			return false
		}
	}
	v.represented.Store(true)
	a.Version, a.file = n, append([]byte(nil), a.beside...)
	a.set(keyPolicy, markdownPolicy)
	v.letGo()
	return false
}

// render returns the page of v, which is at name, and is kept under beside, for the caller to
// let go of; nil if there is none.
func (m *markdownPages) render(v *Version, beside []byte, name string) *Version {
	m.busy <- struct{}{}
	defer func() { <-m.busy }()
	if n := m.files.derived(beside, v); n != nil { // another has made it meanwhile
		return n
	}
	age := int64(0)
	if m.files.root != nil {
		age = m.files.root.age.Load()
	}
	source, err := v.bytes()
	if err != nil {
		return nil
	}
	page, err := markdown.Page(name, source)
	switch {
	case errors.Is(err, markdown.ErrTooComplex): // which is not to be tried again for each client
		m.logf("%q: %v: it is shown as it is", name, err)
	case err != nil:
		m.logf("%q: %v: it is sent as it is", name, err)
		return nil
	}
	n := v.derive(page, &m.files.load.memory)
	n.contentType, n.compressible = typeHTML, true
	if len(v.etag) > 0 {
		sum := sha256.New()
		sum.Write(page)
		n.etag = byContent(sum)
	}
	if m.files.root != nil && !v.once && n.hold() {
		m.files.keep(name+markdownMark, n, age)
	}
	return n
}

var (
	typeMarkdown   = []byte("text/markdown")
	markdownPolicy = []byte(markdown.Policy)
)
