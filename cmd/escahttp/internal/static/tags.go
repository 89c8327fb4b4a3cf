package static

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"io"
	"strconv"
	"sync"
)

// Tagging is how entity tags are made. A FILE.etag beside a file comes first
// with all but TagOff.
type Tagging string

const (
	// TagAuto is by contents up to 1 MiB, where that costs less than the rest of
	// a first answer (0.7 ms at 1 MiB, once for each version), by time above, but
	// by contents if a file is replaced by one of the same time and size. The
	// default.
	TagAuto Tagging = "auto"
	// TagContent is by contents. A file above 64 MiB has no tag until it was read
	// once, in the background.
	TagContent Tagging = "content"
	// TagMtime is by time of modification and size.
	TagMtime Tagging = "mtime"
	// TagOff is none.
	TagOff Tagging = "off"
)

const (
	hashedByDefault = 1 << 20
	hashedAtOnce    = 64 << 20
	mostKnown       = 32 << 10
)

// tags makes entity tags. They are strong, and the same wherever the file is the
// same: nothing of the machine is in them.
type tags struct {
	how  Tagging
	logf func(string, ...any)

	mu    sync.Mutex
	known map[version]string        // by contents, so that nothing is read twice
	given map[string]stamp          // what a tag by time was given to, by name and tag
	read  map[version]chan struct{} // those being read; closed when they are
	aside map[inode]bool            // those being read, or in line, on a goroutine of its own
	line  chan struct{}             // of capacity one: whoever reads on a goroutine of its own
}

// mostAside bounds how many files are kept open to be read for their tags.
const mostAside = 16

type inode struct{ dev, ino uint64 }

// version is what a stamp says of a version.
type version struct {
	dev, ino           uint64
	size, mtime, ctime int64
}

func (s *stamp) version() version { return version{s.dev, s.ino, s.size, s.mtime, s.ctime} }

func newTags(how Tagging, logf func(string, ...any)) *tags {
	if how == "" {
		how = TagAuto
	}
	return &tags{how: how, logf: logf, known: map[version]string{}, given: map[string]stamp{}, read: map[version]chan struct{}{}, aside: map[inode]bool{}, line: make(chan struct{}, 1)}
}

// set gives v its tag, or none where there is none that would be true: if v has
// not settled, nothing is known but what was read of it. sum is of the contents,
// if v is a copy.
func (t *tags) set(v *Version, name string, f *descriptor, d *directory, settled bool, sum hash.Hash) {
	if t.how == TagOff || t.readSidecar(v, name, d) {
		return
	}
	switch {
	case !settled && v.itself():
	case t.how == TagMtime && !settled:
	case t.how == TagMtime || t.how == TagAuto && v.size > hashedByDefault && !t.suspect(name, v):
		v.etag = byTime(&v.stamp)
	case v.file == nil:
		sum.Write(v.body)
		v.etag = byContent(sum)
	case v.copy:
		v.etag = byContent(sum)
	default:
		v.etag = t.content(&v.stamp, f)
	}
}

func byTime(s *stamp) []byte {
	tag := strconv.AppendInt([]byte{'"'}, s.mtime, 36)
	return append(strconv.AppendInt(append(tag, '-'), s.size, 36), '"')
}

func byContent(sum hash.Hash) []byte {
	return []byte(`"` + base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:16]) + `"`)
}

// suspect reports whether the time says too little of v: another version at the
// same name has had the same tag.
func (t *tags) suspect(name string, v *Version) bool {
	key := name + string(byTime(&v.stamp))
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.given[key]
	if !ok {
		makeRoom(t.given)
		t.given[key] = v.stamp
		return false
	}
	return !s.same(&v.stamp)
}

// makeRoom forgets something, if too much is known.
func makeRoom[K comparable, V any](m map[K]V) {
	for k := range m {
		if len(m) < mostKnown {
			return
		}
		delete(m, k)
	}
}

// content returns the tag of f by its contents, nil if there is none yet.
func (t *tags) content(s *stamp, f *descriptor) []byte {
	key := s.version()
	t.mu.Lock()
	tag := t.known[key]
	if tag == "" && s.size > hashedAtOnce {
		t.readLater(s, f)
		t.mu.Unlock()
		return nil
	}
	done, mine := t.read[key], false
	if tag == "" && done == nil {
		done, mine = make(chan struct{}), true
		t.read[key] = done
	}
	t.mu.Unlock()
	switch {
	case tag != "":
		return []byte(tag)
	case mine:
		t.readAll(s, f)
	default:
		<-done
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if tag = t.known[key]; tag == "" {
		return nil
	}
	return []byte(tag)
}

// readLater has a large file read, unless an earlier version of it is still to be, or
// too many others are: it will be asked for again. Called with mu.
func (t *tags) readLater(s *stamp, f *descriptor) {
	file := inode{s.dev, s.ino}
	if t.aside[file] || len(t.aside) >= mostAside || !f.hold() {
		return
	}
	t.aside[file] = true
	t.read[s.version()] = make(chan struct{})
	go t.readAside(*s, f)
}

// readAside reads a large file, one at a time.
func (t *tags) readAside(s stamp, f *descriptor) {
	t.line <- struct{}{}
	t.readAll(&s, f)
	<-t.line
	f.letGo()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.aside, inode{s.dev, s.ino})
}

// readAll reads f for its tag, and says that it has.
func (t *tags) readAll(s *stamp, f *descriptor) {
	tag, err := sumOf(s, f)
	if err != nil && !errors.Is(err, errChanged) {
		t.logf("reading a file of %d bytes for its entity tag: %v", s.size, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.read[s.version()])
	delete(t.read, s.version())
	if err != nil {
		return
	}
	makeRoom(t.known)
	t.known[s.version()] = tag
}

var buffers = sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }}

// sumOf returns the tag of f by its contents. It gives up as soon as that would be of
// no use: f is no longer what s says, or has no name any more, and its space is wanted.
func sumOf(s *stamp, f *descriptor) (string, error) {
	const piece = 16 << 20
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	h := sha256.New()
	for at := int64(0); ; at += piece {
		n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{io.NewSectionReader(f, at, min(piece, s.size-at))}, *buf)
		if err != nil {
			return "", err
		}
		var now stamp
		if err := f.stat(&now); err != nil {
			return "", err
		}
		if s.rewritten(&now) || now.nlink == 0 && s.nlink > 0 || n < min(piece, s.size-at) {
			return "", errChanged
		}
		if at+n == s.size {
			return string(byContent(h)), nil
		}
	}
}

// awaited reports whether v would have a tag if it were loaded anew.
func (t *tags) awaited(v *Version) bool {
	if len(v.etag) > 0 || !v.itself() || v.size <= hashedAtOnce || t.how == TagOff {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known[v.stamp.version()] != ""
}
