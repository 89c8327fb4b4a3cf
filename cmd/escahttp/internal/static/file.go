package static

import (
	"io"
	"os"
	"path"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// file is one version of a file. Its contents are in memory (body), or behind an
// open descriptor (f) that is closed when the cache and the last answer have let
// go of it.
type file struct {
	head
	size    int64
	body    []byte
	f       *os.File
	refs    atomic.Int32 // the cache's and one for each answer; for f only
	checked atomic.Int64 // when it was last seen to be unchanged, Unix nanoseconds
	fixed   bool         // cannot change
}

// head is what the headers say of a file.
type head struct {
	modified     time.Time // to the second, as HTTP has it
	exact        time.Time
	inode        uint64
	etag         []byte
	lastModified []byte
	contentType  []byte
}

// newHead makes the headers of a file. The entity tag is strong: it changes
// whenever the contents can have, as the time of a file's modification has the
// file system's full resolution here, not a second's.
func newHead(name string, modified time.Time, size int64, inode uint64) head {
	tag := []byte{'"'}
	tag = strconv.AppendInt(tag, modified.UnixNano(), 36)
	tag = strconv.AppendInt(append(tag, '-'), size, 36)
	tag = strconv.AppendUint(append(tag, '-'), inode, 36)
	return head{
		modified:     modified.Truncate(time.Second),
		exact:        modified,
		inode:        inode,
		etag:         append(tag, '"'),
		lastModified: fasthttp.AppendHTTPDate(nil, modified),
		contentType:  []byte(contentType(path.Ext(name))),
	}
}

// same reports whether fi shows the version that f is.
func (f *file) same(fi os.FileInfo) bool {
	return fi.Mode().IsRegular() && fi.Size() == f.size && fi.ModTime().Equal(f.exact) && inodeOf(fi) == f.inode
}

// acquire takes f for an answer; false if it was let go of meanwhile.
func (f *file) acquire() bool {
	if f.f == nil {
		return true
	}
	for {
		n := f.refs.Load()
		if n == 0 {
			return false
		}
		if f.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release lets go of f.
func (f *file) release() {
	if f.f != nil && f.refs.Add(-1) == 0 {
		f.f.Close()
	}
}

// span is a part of a file: from (inclusive) to to (exclusive).
type span struct{ from, to int64 }

func (s span) len() int64 { return s.to - s.from }

// send answers with s of f.
func (f *file) send(ctx *fasthttp.RequestCtx, s span) {
	resp := &ctx.Response
	switch {
	case ctx.IsHead():
		resp.SkipBody = true
		resp.Header.SetContentLength(int(s.len()))
	case f.f == nil:
		resp.SetBodyRaw(f.body[s.from:s.to])
	default:
		f.acquire() // for as long as the body is being sent
		// The header is queued by itself, and the file right behind it: one
		// crossing, no copy.
		resp.ImmediateHeaderFlush = true
		resp.SetBodyStream(&fileBody{f: f, s: io.NewSectionReader(f.f, s.from, s.len())}, int(s.len()))
	}
}

// section returns a reader of s.
func (f *file) section(s span) io.Reader {
	if f.f == nil {
		return &memoryBody{f.body[s.from:s.to]}
	}
	return io.NewSectionReader(f.f, s.from, s.len())
}

// fileBody is a body that lies in a file.
type fileBody struct {
	f *file
	s *io.SectionReader
}

func (b *fileBody) Read(p []byte) (int, error) { return b.s.Read(p) }

// WriteTo gives the section itself to w, whose ReadFrom makes a sendfile of it.
func (b *fileBody) WriteTo(w io.Writer) (int64, error) {
	if rf, ok := w.(io.ReaderFrom); ok {
		return rf.ReadFrom(b.s)
	}
	return io.Copy(w, b.s)
}

// Close lets go of the file. fasthttp calls it when the body is sent or given up.
func (b *fileBody) Close() error {
	b.f.release()
	return nil
}

type memoryBody struct{ rest []byte }

func (b *memoryBody) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}
