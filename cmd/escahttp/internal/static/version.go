package static

import (
	"io"
	"net/http"
	"path"
	"sync/atomic"
	"time"
	"weak"
)

// Sizes up to which a version is kept in memory.
const (
	// smallFile is in memory as bytes: above it sendfile costs less than the
	// copies (at 20 KiB, a tenth of the whole).
	smallFile = 8 << 10
	// copiedFile is in memory behind a descriptor (a memfd), from the second
	// request on: it cannot change while it is on its way, and so goes by sendfile.
	// At 20 KiB that costs a third less than looking at the file before and after,
	// at 100 KiB and above half of what it costs to copy it for each answer.
	copiedFile = 8 << 20
	// copiedAlways makes room for itself among the copies; what is larger is copied
	// only where there is room.
	copiedAlways = 64 << 10
)

// restless is for how long a file that was written to is taken to be a log, which
// is about to grow again.
const restless = 10 * time.Second

// Version is one version of a file. Its contents are in memory (body), or behind
// a descriptor: a copy of it, or the file itself.
type Version struct {
	stamp stamp // of the file that it was read from
	size  int64 // -1: shows when it is read

	etag, lastModified, contentType []byte
	modified                        int64 // Unix seconds, as HTTP has it
	sidecar                         stamp // of FILE.etag; zero: there is none

	// compressible: it is worth compressing, by its type.
	compressible bool
	isDerived    bool   // it was made of what stamp shows,
	madeOf       []byte // and that had this tag

	body []byte // all of the contents; or what was read of a file without a size
	file *descriptor
	copy bool // file is a copy
	once bool // for one answer: a change of the file might not show
	// growing: file is being written to, as a log is. All of it is sent without a
	// length and a tag, of which nobody can say what they will be.
	growing bool
	held    bool // it is part of the program

	checked atomic.Int64 // when the name was last seen to lead to it, Unix nanoseconds
	used    atomic.Int64 // when it was last asked for, if that is kept (fleeting)
	copying atomic.Bool  // somebody has begun to make a copy

	beside        atomic.Uint32                                       // which codings of the file lie beside it
	besideChecked atomic.Int64                                        // when that was seen, Unix nanoseconds; 0: never
	useless       [len(codings)]atomic.Bool                           // codings that save nothing
	coded         [len(codings)]atomic.Pointer[weak.Pointer[Version]] // what was made of it
	isDropped     atomic.Bool                                         // it is not kept any more
	represented   atomic.Bool                                         // another was sent in its place, coded or made of it
}

// describe sets what the header fields of v say, but for its tag.
func (v *Version) describe(name string, s *stamp, t types) {
	at := time.Unix(0, s.mtime).UTC()
	v.stamp, v.size = *s, s.size
	v.modified = at.Unix()
	v.lastModified = at.AppendFormat(nil, http.TimeFormat)
	v.contentType = t.of(path.Ext(name))
	v.compressible = compressible(string(v.contentType))
}

// itself reports whether the file is sent itself, and so may change meanwhile.
func (v *Version) itself() bool { return v.file != nil && !v.copy }

// fleeting reports whether v is let go of when nobody asks for it any more: the file
// itself, and large copies. What was made of a file took longer to make.
func (v *Version) fleeting() bool {
	return v.file != nil && !v.isDerived && (!v.copy || v.size > copiedAlways)
}

// hold keeps v's descriptor open for the caller; false if it is closed already.
func (v *Version) hold() bool { return v.file == nil || v.file.hold() }

func (v *Version) letGo() {
	if v.file != nil {
		v.file.letGo()
	}
}

// weight is what v takes of the memory for contents.
func (v *Version) weight() int64 {
	if v.copy {
		return v.size
	}
	return int64(len(v.body))
}

// generated reports whether the contents are made when they are read, so that
// nothing can be said of them beforehand.
func (v *Version) generated() bool { return v.lastModified == nil }

// duplicate returns v with a copy in memory instead of the file.
func (v *Version) duplicate(m *memory) (*Version, error) {
	n := &Version{
		stamp: v.stamp, size: v.size, etag: v.etag, lastModified: v.lastModified, contentType: v.contentType,
		modified: v.modified, sidecar: v.sidecar, compressible: v.compressible,
	}
	n.checked.Store(v.checked.Load())
	n.used.Store(v.used.Load())
	if err := n.copyFrom(v.file, io.Discard, m); err != nil {
		return nil, err
	}
	var s stamp
	if err := v.file.stat(&s); err != nil || !s.same(&v.stamp) {
		n.letGo()
		return nil, errChanged
	}
	return n, nil
}

// grownFrom reports whether v, with which before was replaced, is the same file,
// being written to.
func (v *Version) grownFrom(before *Version, now time.Time) bool {
	if before == nil || !v.itself() || before.file == nil || v.stamp.age(now) > restless {
		return false
	}
	sameFile := v.stamp.ino == before.stamp.ino && v.stamp.dev == before.stamp.dev
	return sameFile && (v.size > before.size || before.growing && v.size == before.size)
}
