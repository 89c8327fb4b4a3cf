package static

import (
	"bytes"
	"io"
	"strings"
)

// sidecarName is where the tag of the file at name may be written.
func sidecarName(name string) string { return name + ".etag" }

// readSidecar gives v the tag that is written in FILE.etag: its first word, with
// or without quotes. One that is older than the file is of another version, and
// does not count.
func (t *tags) readSidecar(v *Version, name string, d *directory) bool {
	if d == nil || !t.hasSidecar(name) {
		return false
	}
	f, err := d.file(sidecarName(name))
	if err != nil {
		return false
	}
	defer f.letGo()
	if f.stat(&v.sidecar) != nil || v.sidecar.kind != regular || v.sidecar.mtime < v.stamp.mtime {
		return false
	}
	b := make([]byte, 512)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		t.logf("%q: %v", sidecarName(name), err)
		return false
	}
	tag, ok := parseTag(b[:n])
	if !ok {
		t.logf("%q: its first word is not an entity tag: give one of visible characters, such as \"abc\"", sidecarName(name))
		return false
	}
	v.etag = tag
	return true
}

// hasSidecar reports whether the file at name may have a sidecar.
func (t *tags) hasSidecar(name string) bool {
	return t.how != TagOff && !strings.HasSuffix(name, ".etag")
}

// parseTag makes an entity tag of the first word of b (RFC 9110, section 8.8.3).
func parseTag(b []byte) ([]byte, bool) {
	words := bytes.Fields(b)
	if len(words) == 0 {
		return nil, false
	}
	opaque, weak := bytes.CutPrefix(words[0], []byte("W/"))
	quoted := len(opaque) >= 2 && opaque[0] == '"' && opaque[len(opaque)-1] == '"'
	if quoted {
		opaque = opaque[1 : len(opaque)-1]
	}
	if weak && !quoted || len(opaque) > 128 || bytes.ContainsFunc(opaque, func(r rune) bool { return r <= ' ' || r == '"' || r == 0x7f }) {
		return nil, false
	}
	tag := []byte{}
	if weak {
		tag = append(tag, "W/"...)
	}
	return append(append(append(tag, '"'), opaque...), '"'), true
}
