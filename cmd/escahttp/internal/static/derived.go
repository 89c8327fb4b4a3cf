package static

import (
	"bytes"
	"io"
)

// derivedMark is between the name of a file and the number of a coding in the name under
// which is kept what was made of it. No file's name holds a NUL.
const derivedMark = "\x00c"

// appendDerived appends the name of what coding c makes of the file at name.
func appendDerived(b, name []byte, c int) []byte {
	return append(append(append(b, name...), 0), '0'+byte(c))
}

// derived returns what is kept under name, for the caller to let go of, if it was made
// of v.
func (c *files) derived(name []byte, v *Version) *Version {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := c.known[string(name)]
	if n == nil || !n.stamp.same(&v.stamp) || !bytes.Equal(n.madeOf, v.etag) || !n.hold() {
		return nil
	}
	return n
}

// dropDerived lets go of what was made of the file at name.
func (c *files) dropDerived(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range codings {
		c.dropLocked(string(appendDerived(nil, []byte(name), i)))
	}
}

// mostCopied is how large a file may be that is kept in memory.
func (c *files) mostCopied() int64 { return min(copiedFile, c.o.CacheBytes/8) }

// bytes returns all of v's contents, which are not to be changed.
func (v *Version) bytes() ([]byte, error) {
	if v.file == nil {
		return v.body, nil
	}
	b := make([]byte, v.size)
	if n, err := v.file.ReadAt(b, 0); n < len(b) {
		if err == nil || err == io.EOF {
			err = errChanged
		}
		return nil, err
	}
	return b, v.stands()
}

// derive returns a version that was made of v, and is b: as bytes, or where there is more of
// it, and m has room, behind a descriptor.
func (v *Version) derive(b []byte, m *memory) *Version {
	n := &Version{
		stamp: v.stamp, size: int64(len(b)), madeOf: v.etag, isDerived: true,
		lastModified: v.lastModified, modified: v.modified, contentType: v.contentType, once: v.once,
	}
	if n.size <= smallFile || n.copyOf(bytes.NewReader(b), io.Discard, m) != nil {
		n.body = b
	}
	return n
}
