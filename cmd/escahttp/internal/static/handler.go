package static

import (
	"crypto/sha256"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"time"
)

// Options of a Handler. Zero fields take the default.
type Options struct {
	// CacheBytes bounds what the contents of files in memory may take together.
	// Default 64 MiB.
	CacheBytes int64
	// OpenFiles bounds how many descriptors are kept open. Default 512.
	OpenFiles int
	// Revalidate is for how long a name is taken to lead to the same version
	// before it is looked at again. Default one second; negative: look each time.
	Revalidate time.Duration
	// Idle is for how long a file is kept open that nobody asks for. Default 10
	// seconds.
	Idle time.Duration
	// Tagging is how entity tags are made. Default TagAuto.
	Tagging Tagging
	// Precompressed has FILE.br, FILE.zst and FILE.gz sent in the place of FILE, unless
	// they are older, to clients that accept that.
	Precompressed bool
	// Encode are the codings that compressible files are sent in, made when they are first
	// asked for, in the order of preference (see ParseCodings). None: nothing is compressed.
	Encode []int
	// Types are media types by extension, in lower case and with its dot, that come
	// before the known ones.
	Types map[string]string
	// Index are the names of files that stand for their folder, as preferred. Default
	// index.html.
	Index []string
	// CleanURLs has /a.html found at /a.
	CleanURLs bool
	// List has folders without an index listed, and Dotfiles with what begins with a dot.
	List, Dotfiles bool
	// Archive has folders without an index sent as one file, with at most that many bytes
	// of files; 0: it has not.
	Archive int64
	// Markdown has Markdown shown as a page, to who asks for one.
	Markdown bool
	// Fallback is the path of a page that stands for all that is not there.
	Fallback string
	// ErrorPages are pages in the place of the short ones that say what went wrong.
	ErrorPages []ErrorPage
	// Before are steps that come before the file is looked for, Found when it is, and
	// After has the last word on each answer, each in their order.
	Before, Found []Step
	After         []Finisher
	// Logf is told of what the operator should know: files that cannot be read
	// for other reasons than that they are not there. Default: nothing.
	Logf func(format string, args ...any)
}

// Handler decides what requests for files are answered with. Any number of
// goroutines may use it.
type Handler struct {
	files *files
	look  *find
	chain []Step
	after []Finisher
}

// Step is one part of a decision: it looks at a request and at what was decided
// so far, and true means that the answer is complete.
type Step interface {
	Decide(r Request, a *Answer) bool
}

// Finisher adds to an answer that is complete.
type Finisher interface {
	Finish(r Request, a *Answer)
}

// New returns a Handler for the files beneath dir, which is a name: it is looked
// up again.
func New(dir string, o Options) (*Handler, error) {
	o.setDefaults()
	name, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r := &root{name: name, every: o.Revalidate, logf: o.Logf}
	d, _, err := r.open(time.Now())
	if err != nil {
		return nil, err
	}
	d.letGo()
	f := newFiles(r, o)
	f.watch()
	return newHandler(f, o), nil
}

// NewFS returns a Handler for the files of an fs.FS that do not change, such as
// an embed.FS. They are read at once.
func NewFS(fsys fs.FS, modified time.Time, o Options) (*Handler, error) {
	o.setDefaults()
	f := newFiles(nil, o)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(fsys, name)
		if err == nil {
			v := &Version{body: b, held: true}
			v.describe(name, &stamp{size: int64(len(b)), mtime: modified.UnixNano()}, nil)
			f.load.tags.set(v, name, nil, nil, true, sha256.New())
			f.known[name] = v
		}
		return err
	})
	return newHandler(f, o), err
}

func (o *Options) setDefaults() {
	if o.CacheBytes <= 0 {
		o.CacheBytes = 64 << 20
	}
	if o.OpenFiles <= 0 {
		o.OpenFiles = 512
	}
	if o.Revalidate == 0 {
		o.Revalidate = time.Second
	}
	if o.Idle <= 0 {
		o.Idle = 10 * time.Second
	}
	if len(o.Index) == 0 {
		o.Index = []string{"index.html"}
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
}

func newHandler(f *files, o Options) *Handler {
	var e *encodings
	if o.Precompressed || len(o.Encode) > 0 {
		e = newEncodings(f, o)
	}
	look := newFind(f, e, o)
	chain := append(slices.Clone(o.Before), methods{}, look)
	chain = append(chain, o.Found...)
	if o.Markdown {
		chain = append(chain, newMarkdownPages(f, o))
	}
	if e != nil {
		chain = append(chain, e)
	}
	if look.later {
		chain = append(chain, present{look})
	}
	after := o.After
	if len(o.ErrorPages) > 0 {
		after = append([]Finisher{errorPages{look, o.ErrorPages}}, after...)
	}
	return &Handler{files: f, look: look, chain: append(chain, conditions{}, copies{f}, ranges{}, whole{}), after: after}
}

// Decide decides what r is answered with. a is empty, and is to be closed.
func (h *Handler) Decide(r Request, a *Answer) {
	a.path = r.Path()
	for _, s := range h.chain {
		if s.Decide(r, a) {
			break
		}
	}
	for _, f := range h.after {
		f.Finish(r, a)
	}
}

// Has reports whether there is a file at p, which begins with a slash, that can be sent. Rules are not
// asked.
func (h *Handler) Has(p string) bool {
	var a Answer
	defer a.Close()
	_, err := h.look.look(inquiry{}, &a, []byte(p))
	return err == nil
}

// Shows reports whether whoever comes without a password, by TLS and from an address of nobody's, gets
// what is at p.
func (h *Handler) Shows(p string) bool {
	var a Answer
	defer a.Close()
	h.Decide(inquiry{path: p}, &a)
	return a.Status == http.StatusOK
}

// Forget has every name looked at again.
func (h *Handler) Forget() {
	if h.files.root != nil {
		h.files.root.confirm(time.Now(), h.files.root.age.Load())
		h.files.clear()
	}
}

// Stats is what a Handler keeps.
type Stats struct {
	Files, Open int   // versions, and descriptors among them
	Bytes       int64 // of contents in memory
}

// Stats returns what is kept now.
func (h *Handler) Stats() Stats {
	h.files.mu.RLock()
	defer h.files.mu.RUnlock()
	return Stats{Files: len(h.files.known), Open: h.files.open, Bytes: h.files.bytes}
}

// Close lets go of all files.
func (h *Handler) Close() error {
	h.files.close()
	return nil
}

// methods refuses what is not for reading.
type methods struct{}

func (methods) Decide(r Request, a *Answer) bool {
	if m := string(r.Method()); m == "GET" || m == "HEAD" {
		return false
	}
	a.set(keyAllow, valueAllow)
	a.Fail(http.StatusMethodNotAllowed)
	return true
}

// copies has what is asked for again sent from a copy in memory.
type copies struct{ files *files }

func (c copies) Decide(r Request, a *Answer) bool {
	if a.again {
		a.Version = c.files.copied(a.Version, a.file, r.Time())
	}
	return false
}

// whole answers with all of the version.
type whole struct{}

func (whole) Decide(_ Request, a *Answer) bool {
	a.Status = http.StatusOK
	if a.coding != nil {
		a.set(keyContentEncoding, a.coding.value)
	}
	if a.Version.growing {
		a.ContentType = a.Version.contentType
		a.only(Span{0, -1})
		return true
	}
	a.describe()
	a.only(Span{0, max(a.Version.size, 0)})
	return true
}

// describe sets what the header fields say of the version.
func (a *Answer) describe() {
	v := a.Version
	if a.ContentType = v.contentType; a.contentType != nil {
		a.ContentType = a.contentType
	}
	if v.generated() {
		return
	}
	a.set(keyLastModified, v.lastModified)
	if tag := a.tag(); len(tag) > 0 {
		a.set(keyETag, tag)
	}
	if a.coding == nil {
		a.set(keyAcceptRanges, valueBytes)
	}
}
