package static

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
)

// archiver answers with all of a folder that has no index, in one file: ?format=zip or
// ?format=tar.zst.
//
//	walk      what is in it, before anything is sent: it is bounded, and who may not have
//	          a file by itself does not get it here
//	archive   the body, which is made while it is sent
//
// As what comes of it is not known before, it has neither a length, a tag nor ranges.
type archiver struct {
	look  *find
	all   bool          // also what begins with a dot
	most  int64         // bytes of files
	found []Step        // who may have what
	busy  chan struct{} // of as many as may be under way at once
}

// mostArchived bounds how many files and folders one archive holds, and deepest how far
// down they lie.
const (
	mostArchived = 10_000
	deepest      = 64
)

// mostArchiving bounds how many archives are under way at once: each has an encoder, of
// some MiB.
const mostArchiving = 8

// archiveFormat is a kind of archive.
type archiveFormat struct {
	name        string // in ?format=, and behind the dot of the file's name
	contentType []byte
}

var archiveFormats = [...]archiveFormat{
	{"zip", []byte("application/zip")},
	{"tar.zst", []byte("application/zstd")},
}

func newArchiver(f *find, o Options) *archiver {
	return &archiver{look: f, all: o.Dotfiles, most: o.Archive, found: o.Found, busy: make(chan struct{}, mostArchiving)}
}

func (c *archiver) instead(r Request, a *Answer, path []byte) (found, done bool) {
	if path[len(path)-1] != '/' || c.look.files.root == nil || !bytes.Contains(r.Query(), []byte("format=")) {
		return false, false
	}
	q, _ := url.ParseQuery(string(r.Query()))
	i := slices.IndexFunc(archiveFormats[:], func(f archiveFormat) bool { return f.name == q.Get("format") })
	if i < 0 {
		return false, false
	}
	select {
	case c.busy <- struct{}{}:
	default:
		a.set(keyRetryAfter, valueRetryAfter)
		a.Fail(http.StatusServiceUnavailable)
		return true, true
	}
	s := &archive{format: &archiveFormats[i], busy: c.busy}
	switch err := c.walk(r, s, strings.Trim(string(path), "/")); {
	case err == nil:
	case notFound(err) || errors.Is(err, syscall.ENOTDIR):
		s.Close()
		return false, false
	case errors.Is(err, errTooMuch):
		s.Close()
		c.look.logf("%q: %v: it is not sent as an archive", path, err)
		a.Fail(http.StatusForbidden)
		return true, true
	default:
		s.Close()
		a.file = path[1:]
		c.look.fail(a, err)
		return true, true
	}
	a.Status, a.ContentType, a.Stream = http.StatusOK, s.format.contentType, s
	a.set(keyDisposition, disposition(s.name+"."+s.format.name))
	a.set(keyAcceptRanges, valueNone)
	a.set(keyCacheControl, valueNoCache)
	return true, true
}

// disposition has a browser keep what it gets in a file of that name (RFC 6266, RFC 8187).
func disposition(name string) []byte {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '%' {
			return '_'
		}
		return r
	}, name)
	if plain == name {
		return []byte(`attachment; filename="` + name + `"`)
	}
	coded := strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~").Replace(url.QueryEscape(name))
	return []byte(`attachment; filename="` + plain + `"; filename*=UTF-8''` + coded)
}

var (
	keyDisposition = []byte("Content-Disposition")
	valueNone      = []byte("none")
)
