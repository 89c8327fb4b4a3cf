package static

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"syscall"
)

// find finds the version that a path leads to: the file, or in a folder its index. Where
// there is none, the others are asked in their order: the file without its extension, the
// list of the folder, the page that stands for all others.
type find struct {
	files     *files
	encodings *encodings // nil: there are none
	later     bool       // what others may stand for is looked at when it is sent itself (present)
	index     []string
	others    []finder
	logf      func(string, ...any)
}

// finder finds something else for a path at which there is no file; found is false if it
// does not, and done is true if the answer is complete.
type finder interface {
	instead(r Request, a *Answer, path []byte) (found, done bool)
}

func newFind(f *files, e *encodings, o Options) *find {
	l := &find{files: f, encodings: e, later: e != nil || o.Markdown, index: o.Index, logf: o.Logf}
	if o.CleanURLs {
		l.others = append(l.others, extensionless{l})
	}
	if o.Archive > 0 {
		l.others = append(l.others, newArchiver(l, o))
	}
	if o.List {
		l.others = append(l.others, newLister(l, o))
	}
	if o.Fallback != "" {
		l.others = append(l.others, fallback{l, []byte(o.Fallback)})
	}
	return l
}

// Decide is a Step.
func (f *find) Decide(r Request, a *Answer) bool {
	path := a.path
	if len(path) == 0 || path[0] != '/' || bytes.IndexByte(path, 0) >= 0 || runtime.GOOS == "windows" && bytes.IndexByte(path, '\\') >= 0 {
		a.Fail(http.StatusNotFound)
		return true
	}
	inDir := path[len(path)-1] == '/'
	done, err := false, error(fs.ErrNotExist)
	if !inDir {
		done, err = f.look(r, a, path)
	}
	for i := 0; inDir && i < len(f.index) && nothing(err); i++ {
		a.name = append(append(a.name[:0], path...), f.index[i]...)
		done, err = f.look(r, a, a.name)
	}
	if err == nil {
		return done
	}
	a.path = path
	switch {
	case errors.Is(err, errDirectory) && !inDir:
		redirect(r, a)
		return true
	case nothing(err):
		for _, o := range f.others {
			if found, done := o.instead(r, a, path); found {
				return done
			}
		}
		a.path = path
		a.Fail(http.StatusNotFound)
		return true
	}
	f.fail(a, err)
	return true
}

// look finds the file at path, also where it is there only coded; done is true if the
// answer is complete.
func (f *find) look(r Request, a *Answer, path []byte) (done bool, err error) {
	a.path, a.file = path, path[1:]
	if f.later {
		a.Version, a.again, err = f.files.represented(a.file, r.Time())
	} else {
		a.Version, a.again, err = f.files.get(a.file, r.Time())
	}
	if f.encodings != nil && err != nil && notFound(err) {
		if found, done := f.encodings.alone(r, a, a.file); found {
			return done, nil
		}
	}
	return false, err
}

// nothing reports whether err means that there is no file.
func nothing(err error) bool { return err != nil && (notFound(err) || errors.Is(err, errDirectory)) }

// fail answers that the file cannot be had.
func (f *find) fail(a *Answer, err error) {
	f.tell(a.file, err)
	switch {
	case errors.Is(err, fs.ErrPermission):
		a.Fail(http.StatusForbidden)
	case exhausted(err) || errors.Is(err, syscall.EAGAIN):
		a.set(keyRetryAfter, valueRetryAfter)
		a.Fail(http.StatusServiceUnavailable)
	default:
		a.Fail(http.StatusInternalServerError)
	}
}

// tell logs err without the path in it: the client has chosen that.
func (f *find) tell(name []byte, err error) {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	remedy := ""
	switch {
	case exhausted(err):
		remedy = ": raise the limit of open files (ulimit -n), or set --max-conns-per-ip"
	case errors.Is(err, syscall.EAGAIN):
		remedy = ": another program holds a lease on it"
	}
	f.logf("%q: %v%s", name, err, remedy)
}

// redirect sends a directory asked for without its slash to the address with
// it. The address is a path, so it cannot lead to another host.
func redirect(r Request, a *Answer) {
	to := (&url.URL{Path: "/" + strings.Trim(string(r.Path()), "/") + "/"}).EscapedPath()
	if q := r.Query(); len(q) > 0 {
		to += "?" + string(q)
	}
	a.set(keyLocation, []byte(to))
	a.Fail(http.StatusMovedPermanently)
}

// extensionless finds /a.html for /a.
type extensionless struct{ *find }

func (e extensionless) instead(r Request, a *Answer, path []byte) (found, done bool) {
	if path[len(path)-1] == '/' {
		return false, false
	}
	a.name = append(append(a.name[:0], path...), ".html"...)
	return e.found(r, a, a.name)
}

// fallback finds one page for all addresses that a program in the page makes sense of:
// what a browser navigates to, and not a script or a picture that is missing.
type fallback struct {
	*find
	page []byte
}

func (f fallback) instead(r Request, a *Answer, path []byte) (found, done bool) {
	a.Vary(keyAccept)
	if bytes.IndexByte(path[bytes.LastIndexByte(path, '/'):], '.') >= 0 && !accepts(r, "text/html") {
		return false, false
	}
	return f.found(r, a, f.page)
}

// found is look; false: there is no such file, or it cannot be had.
func (f *find) found(r Request, a *Answer, path []byte) (found, done bool) {
	done, err := f.look(r, a, path)
	switch {
	case err == nil:
		return true, done
	case nothing(err):
		return false, false
	}
	f.fail(a, err)
	return true, true
}

// accepts reports whether a client names a media type among those that it accepts.
func accepts(r Request, mediaType string) bool {
	for _, line := range r.Headers("Accept") {
		for element := range bytes.SplitSeq(line, []byte{','}) {
			name, parameters, _ := bytes.Cut(element, []byte{';'})
			if equalFold(bytes.Trim(name, " \t"), mediaType) && !bytes.Contains(bytes.ReplaceAll(parameters, []byte{' '}, nil), []byte("q=0.0")) && !bytes.HasSuffix(bytes.TrimSpace(parameters), []byte("q=0")) {
				return true
			}
		}
	}
	return false
}

var keyAccept = []byte("Accept")
