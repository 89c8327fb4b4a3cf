package static

import (
	"bytes"
	"slices"
)

// Field is a header field. Its name is in canonical form.
type Field struct{ Name, Value []byte }

// Answer is what a request is answered with. It can be used again after Close.
type Answer struct {
	Status      int
	ContentType []byte // empty: none is sent
	Fields      []Field
	// Text is the whole body, if no Parts are.
	Text []byte
	// Parts of the body, in order, of which spans are of Version.
	Parts   []Part
	Version *Version

	asItIs bool   // the version goes on being written to, and this is as much as there was
	path   []byte // what is asked for, or the file that was found
	file   []byte // the name of the version, beneath the root
	again  bool   // it was asked for before
	parts  [1]Part

	coding      *coding // of the version; nil: the file is as it is
	alone       bool    // it is there only coded
	contentType []byte  // of what is coded, where it is not the version's

	// What names and tags are put together in.
	name, beside, codedTag []byte
}

// Part of a body: Text, or if that is nil a span of the version.
type Part struct {
	Text []byte
	Span Span
}

// Span is a part of a file: From (inclusive) to To (exclusive). To is negative
// for as much as there is when it is sent.
type Span struct{ From, To int64 }

// Len returns the number of bytes of s.
func (s Span) Len() int64 { return s.To - s.From }

// Len returns the length of the body, -1 if it shows only when it is sent.
func (a *Answer) Len() int64 {
	if len(a.Parts) == 0 {
		return int64(len(a.Text))
	}
	n := int64(0)
	for i := range a.Parts {
		switch p := &a.Parts[i]; {
		case p.Text != nil:
			n += int64(len(p.Text))
		case a.Version.size < 0 || p.Span.To < 0:
			return -1
		default:
			n += p.Span.Len()
		}
	}
	return n
}

// Limit makes the body of a file that is being written to as long as the file is now,
// for a client that has to be told; false if it is no such body.
func (a *Answer) Limit() bool {
	var now stamp
	if a.Version == nil || !a.Version.growing || len(a.Parts) != 1 || a.Version.file.stat(&now) != nil {
		return false
	}
	a.only(Span{0, now.size})
	a.asItIs = true
	return true
}

// Bytes returns the body if it is in memory, in one piece. It is valid beyond
// Close.
func (a *Answer) Bytes() (b []byte, ok bool) {
	switch {
	case len(a.Parts) == 0:
		return a.Text, true
	case len(a.Parts) == 1 && a.Parts[0].Text == nil && a.Version.file == nil:
		s := a.Parts[0].Span
		return a.Version.body[s.From:s.To], true
	}
	return nil, false
}

// Close lets go of the version.
func (a *Answer) Close() {
	if a.Version != nil {
		a.Version.letGo()
	}
	*a = Answer{Fields: a.Fields[:0], name: a.name[:0], beside: a.beside[:0], codedTag: a.codedTag[:0]}
}

// Set sets a field, in the place of one that there is.
func (a *Answer) Set(name, value []byte) {
	for i := range a.Fields {
		if f := &a.Fields[i]; bytes.EqualFold(f.Name, name) {
			f.Value = value
			return
		}
	}
	a.set(name, value)
}

// Unset removes a field, if it is there.
func (a *Answer) Unset(name []byte) {
	a.Fields = slices.DeleteFunc(a.Fields, func(f Field) bool { return bytes.EqualFold(f.Name, name) })
}

// set sets a field that is not there yet.
func (a *Answer) set(name, value []byte) {
	a.Fields = append(a.Fields, Field{name, value})
}

// Path returns the path of the file that was found, for rules; if none was, the one that
// is asked for. It begins with a slash, and is valid until Close.
func (a *Answer) Path() []byte { return a.path }

// SetPath has the file at p looked for, and not what is asked for. p is decoded, begins
// with a slash, and has no dot segments; it belongs to the answer.
func (a *Answer) SetPath(p []byte) { a.path = p }

// Vary says that the answer depends on the field named, by its canonical name.
func (a *Answer) Vary(name []byte) {
	for i := range a.Fields {
		if f := &a.Fields[i]; string(f.Name) == string(keyVary) {
			f.Value = slices.Concat(f.Value, []byte(", "), name)
			return
		}
	}
	a.set(keyVary, name)
}

// tag is the entity tag of what is sent; empty if there is none.
func (a *Answer) tag() []byte {
	if a.coding != nil {
		return a.codedTag
	}
	return a.Version.etag
}

// only makes the body the span s of the version.
func (a *Answer) only(s Span) {
	a.Parts = append(a.parts[:0], Part{Span: s})
}

// Fail makes a an answer with a short page that says what status means.
func (a *Answer) Fail(status int) {
	a.Status, a.ContentType, a.Parts = status, typeHTML, nil
	a.Text = Page(status)
}

var (
	typeHTML        = []byte("text/html; charset=utf-8")
	keyAcceptRanges = []byte("Accept-Ranges")
	keyAllow        = []byte("Allow")
	keyContentRange = []byte("Content-Range")
	keyETag         = []byte("ETag")
	keyLastModified = []byte("Last-Modified")
	keyLocation     = []byte("Location")
	keyRetryAfter   = []byte("Retry-After")
	keyVary         = []byte("Vary")
	valueAllow      = []byte("GET, HEAD")
	valueBytes      = []byte("bytes")
	valueRetryAfter = []byte("1")
)
