package static

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// lister answers with what is in a folder that has no index: a page, or JSON for who asks
// for it, by ?format=json or Accept.
//
// A page is for people, and needs no script: its columns are links to the same folder in
// another order. The tag is of the contents; there is no time, as the sizes of files change
// without their folder's.
type lister struct {
	look *find
	all  bool          // also what begins with a dot
	busy chan struct{} // of as many as may be made at once
}

// mostListed bounds how much of a folder is listed.
const mostListed = 10_000

// mostListing bounds how many lists are made at once.
const mostListing = 4

type entry struct {
	name        string
	folder      bool
	size, mtime int64
}

func newLister(f *find, o Options) *lister {
	return &lister{look: f, all: o.Dotfiles, busy: make(chan struct{}, mostListing)}
}

func (l *lister) instead(r Request, a *Answer, path []byte) (found, done bool) {
	if path[len(path)-1] != '/' || l.look.files.root == nil {
		return false, false
	}
	l.busy <- struct{}{}
	defer func() { <-l.busy }()
	list, more, err := l.read(strings.Trim(string(path), "/"), r.Time())
	switch {
	case err != nil && (notFound(err) || errors.Is(err, syscall.ENOTDIR)):
		return false, false
	case err != nil:
		a.file = path[1:]
		l.look.fail(a, err)
		return true, true
	}
	q, _ := url.ParseQuery(string(r.Query()))
	order := orderOf(q)
	order.sort(list)
	a.Vary(keyAccept)
	var body []byte
	if q.Get("format") == "json" || q.Get("format") == "" && accepts(r, "application/json") && !accepts(r, "text/html") {
		a.ContentType, body = typeJSON, listJSON(string(path), list, more)
	} else {
		a.ContentType, body = typeHTML, listHTML(string(path), list, more, order)
		a.set(keyPolicy, listPolicy)
	}
	sum := sha256.New()
	sum.Write(body)
	tag := byContent(sum)
	a.set(keyETag, tag)
	a.set(keyCacheControl, valueNoCache)
	if len(r.Header("If-None-Match")) > 0 && anyMatches(r.Headers("If-None-Match"), tag, true) {
		a.Status, a.ContentType = http.StatusNotModified, nil
		return true, true
	}
	a.Status, a.Text = http.StatusOK, body
	return true, true
}

// read reads the folder at path.
func (l *lister) read(path string, now time.Time) (list []entry, more bool, err error) {
	if path == "" {
		path = "."
	}
	d, _, err := l.look.files.root.open(now)
	if err != nil {
		return nil, false, err
	}
	defer l.look.files.watch()
	defer d.letGo()
	if list, more, err = d.entries(path, mostListed); err != nil {
		return nil, false, err
	}
	if !l.all {
		list = slices.DeleteFunc(list, func(e entry) bool { return e.name[0] == '.' && !(path == "." && e.name == WellKnown) })
	}
	return list, more, nil
}

// WellKnown is the one name with a dot in front that is not hidden (RFC 8615).
const WellKnown = ".well-known"

// order is how a list is ordered.
type order struct {
	by   string // name, size or time
	desc bool
}

func orderOf(q url.Values) order {
	o := order{by: q.Get("sort"), desc: q.Get("order") == "desc"}
	if o.by != "size" && o.by != "time" {
		o.by = "name"
	}
	return o
}

// sort sorts list, folders first.
func (o order) sort(list []entry) {
	slices.SortFunc(list, func(a, b entry) int {
		if a.folder != b.folder {
			if a.folder {
				return -1
			}
			return 1
		}
		c := 0
		switch o.by {
		case "size":
			c = cmp.Compare(a.size, b.size)
		case "time":
			c = cmp.Compare(a.mtime, b.mtime)
		}
		if c == 0 {
			c = cmp.Or(cmp.Compare(strings.ToLower(a.name), strings.ToLower(b.name)), cmp.Compare(a.name, b.name))
		}
		if o.desc {
			return -c
		}
		return c
	})
}

// Hidden is a Step that keeps what begins with a dot from being found, but for what is
// beneath /.well-known/.
type Hidden struct{}

// Decide is a Step.
func (Hidden) Decide(_ Request, a *Answer) bool {
	path := a.path
	if i := bytes.Index(path, []byte("/.")); i < 0 || i == 0 && wellKnown(path) && !bytes.Contains(path[1:], []byte("/.")) {
		return false
	}
	a.Fail(http.StatusNotFound)
	return true
}

func wellKnown(path []byte) bool {
	rest, ok := bytes.CutPrefix(path[1:], []byte(WellKnown))
	return ok && (len(rest) == 0 || rest[0] == '/')
}

var (
	typeJSON        = []byte("application/json")
	keyPolicy       = []byte("Content-Security-Policy")
	keyCacheControl = []byte("Cache-Control")
	valueNoCache    = []byte("no-cache")
	listPolicy      = []byte("default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'")
)

// readSome reads what is in the folder f, most of it at the most, and whether there is more.
func readSome(f *os.File, most int) (found []os.DirEntry, more bool, err error) {
	found, err = f.ReadDir(most + 1)
	switch {
	case len(found) > most:
		return found[:most], true, nil
	case len(found) > 0 || errors.Is(err, io.EOF):
		return found, false, nil
	}
	return nil, false, err
}
