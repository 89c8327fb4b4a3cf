package static

import (
	"crypto/sha256"
	"errors"
	"io"
	"time"
)

var (
	errDirectory = errors.New("is a directory")
	// errIrregular is for what is neither a file nor a directory.
	errIrregular = errors.New("is not a regular file")
)

// mostTries bounds how often a file that is written to meanwhile is read again.
const mostTries = 8

// loader makes versions of open files.
type loader struct {
	tags   *tags
	memory memory
	types  types
}

// load makes a version of f, which is at name, and takes f over.
func (l *loader) load(name string, f *descriptor, d *directory) (*Version, error) {
	v, err := l.version(name, f, d)
	if err != nil || v.file != f {
		f.letGo()
	}
	return v, err
}

func (l *loader) version(name string, f *descriptor, d *directory) (*Version, error) {
	for try := 1; ; try++ {
		var s stamp
		if err := f.stat(&s); err != nil {
			return nil, err
		}
		switch s.kind {
		case folder:
			return nil, errDirectory
		case other:
			return nil, errIrregular
		}
		v := &Version{}
		v.describe(name, &s, l.types)
		settled := s.settled(time.Now())
		v.once = !settled
		sum := sha256.New()
		switch {
		case generated(f.fd):
			return v, l.stream(v, f)
		case s.size <= smallFile:
			n, err := l.small(v, f)
			if err != nil {
				return nil, err
			}
			if n != s.size && l.unchanged(f, &s) {
				v := &Version{}
				v.describe(name, &s, l.types)
				return v, l.stream(v, f)
			}
		case s.size <= copiedAlways && !settled:
			// It is sent as it is now: what changes within the same tick of the
			// clock would not show.
			if err := v.copyFrom(f, sum, &l.memory); err != nil {
				v.file = f
			}
		default:
			v.file = f
		}
		v.growing = v.itself() && !settled
		l.tags.set(v, name, f, d, settled, sum)
		if l.unchanged(f, &s) {
			return v, nil
		}
		if try == mostTries {
			v.once, v.growing = true, v.itself()
			return v, nil
		}
		if v.copy {
			v.letGo()
		}
	}
}

// unchanged reports whether f is still as s says. A version that was put
// together from two must not get the tag of one.
func (l *loader) unchanged(f *descriptor, s *stamp) bool {
	var now stamp
	return f.stat(&now) == nil && now.same(s)
}

// small reads all of a small file, and returns how much that is.
func (l *loader) small(v *Version, f *descriptor) (int64, error) {
	b := make([]byte, v.size+1)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return 0, err
	}
	v.size = min(int64(n), v.size)
	v.body = b[:v.size:v.size]
	return int64(n), nil
}

// stream makes v one of a file whose size and times say nothing: of /proc and
// /sys, and of some FUSE file systems. It is read for each answer, and sent as
// it is; it has neither a tag nor a time.
func (l *loader) stream(v *Version, f *descriptor) error {
	v.once, v.etag, v.lastModified, v.size = true, nil, nil, -1
	b := make([]byte, smallFile)
	n := 0
	for n < len(b) {
		m, err := f.Read(b[n:])
		n += m
		if err == io.EOF {
			v.body, v.size = b[:n], int64(n)
			return nil
		}
		if err != nil {
			return err
		}
	}
	v.body, v.file = b, f
	return nil
}
