package static

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"unicode"
)

// errTooMuch is for folders that hold more than one archive may.
var errTooMuch = errors.New("there is more in the folder than an archive may hold")

// mostWrong bounds how often a password is tried in vain for one archive: to find that it is
// wrong takes long on purpose.
const mostWrong = 4

// archived is a file or a folder that is to be in an archive.
type archived struct {
	path   string // beneath the root
	name   string // in the archive, without a slash at its end
	folder bool
	mtime  int64
}

// walk has s hold what is in the folder at dir, as far as who asks may have it by itself.
// Links are what they lead to, within the root; a folder that leads back to one above it
// is left out.
func (c *archiver) walk(r Request, s *archive, dir string) error {
	d, _, err := c.look.files.root.open(r.Time())
	if err != nil {
		return err
	}
	c.look.files.watch()
	s.dir = d
	if s.name = path.Base("/" + dir); s.name == "/" {
		s.name = "files"
	}
	w := walker{archiver: c, r: r, archive: s, left: c.most}
	if dir == "" {
		dir = "."
	}
	return w.folder(dir, plainName(s.name))
}

type walker struct {
	*archiver
	*archive
	r     Request
	left  int64   // bytes of files that there is still room for
	wrong int     // passwords that were tried in vain
	above []stamp // the folders that it is in
}

// folder adds the folder at dir and what is in it, name being that in the archive.
func (w *walker) folder(dir, name string) error {
	var s stamp
	if err := w.dir.look(dir, &s); err != nil {
		return err
	}
	for i := range w.above {
		if a := &w.above[i]; s.ino != 0 && a.ino == s.ino && a.dev == s.dev {
			return nil
		}
	}
	if len(w.above) == deepest {
		return fmt.Errorf("%w: it is more than %d folders deep", errTooMuch, deepest)
	}
	w.above = append(w.above, s)
	defer func() { w.above = w.above[:len(w.above)-1] }()
	list, more, err := w.dir.entries(dir, mostArchived)
	if err != nil {
		return err
	}
	if more {
		return tooMany()
	}
	if err := w.add(archived{path: dir, name: name, folder: true, mtime: s.mtime}); err != nil {
		return err
	}
	for _, e := range list {
		if !listable(e.name, dir == ".", w.all) {
			continue
		}
		at := strings.TrimPrefix(dir+"/"+e.name, "./")
		inside := name + "/" + plainName(e.name)
		switch refused := w.refused(at, e.folder); {
		case w.wrong > mostWrong:
			return fmt.Errorf("%w: the password is wrong for more than %d of them", errTooMuch, mostWrong)
		case refused:
		case e.folder:
			// One that has gone meanwhile, or may not be read, is left out.
			if err := w.folder(at, inside); errors.Is(err, errTooMuch) || exhausted(err) {
				return err
			}
		default:
			if w.left -= e.size; w.left < 0 {
				return fmt.Errorf("%w: its files are of more than %d MiB", errTooMuch, w.most>>20)
			}
			if err := w.add(archived{path: at, name: inside, mtime: e.mtime}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walker) add(e archived) error {
	if len(w.entries) == mostArchived {
		return tooMany()
	}
	w.entries = append(w.entries, e)
	return nil
}

func tooMany() error {
	return fmt.Errorf("%w: it has more than %d files and folders", errTooMuch, mostArchived)
}

// refused reports whether who asks may not have what is at path by itself.
func (w *walker) refused(path string, folder bool) bool {
	if len(w.found) == 0 {
		return false
	}
	if path = "/" + path; folder {
		path += "/"
	}
	var a Answer
	a.path = []byte(path)
	r := asking{w.r, a.path}
	for _, s := range w.found {
		if s.Decide(r, &a) {
			if a.Status == http.StatusUnauthorized && len(w.r.Header("Authorization")) > 0 {
				w.wrong++
			}
			return true
		}
	}
	return false
}

// asking is a request for what is in the folder that the archive is of.
type asking struct {
	Request
	path []byte
}

// Path is Request's.
func (r asking) Path() []byte { return r.path }

// plainName is name as it may be in an archive: on some systems a backslash or a colon
// would lead elsewhere, and what commands a terminal, or turns the direction of what is
// behind it around, is no name.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '\\' || r == ':' || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '_'
		}
		return r
	}, name)
}
