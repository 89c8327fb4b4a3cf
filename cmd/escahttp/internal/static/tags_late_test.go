//go:build unix

package static

import (
	"errors"
	"os"
	"testing"
	"time"
)

// FILE and then FILE.etag are replaced between the look at the one and at the other:
// the new tag does not go with the old bytes.
func TestSidecarOfAReplacedFile(t *testing.T) {
	for name, replacements := range map[string]int{"once": 1, "all the time": 100} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Options{Revalidate: -1})
			put := func(content, tag string) {
				for _, part := range [][2]string{{"f", content}, {"f.etag", tag}} {
					s.write(t, part[0]+".new", []byte(part[1]))
					os.Rename(s.path(part[0]+".new"), s.path(part[0]))
				}
			}
			put("old", "tag-old")
			s.settled(t, "f")
			c := s.files
			d, _, err := c.root.open(time.Now())
			if err != nil {
				t.Fatal(err)
			}
			defer d.letGo()
			opened := 0
			v, err := c.loadAt(d, "f", func(name string) (*descriptor, error) {
				f, err := d.file(name)
				if opened++; opened <= replacements {
					put("new", "tag-new")
				}
				return f, err
			})
			if err != nil {
				t.Fatal(err)
			}
			defer v.letGo()
			if string(v.etag) == `"tag-new"` && string(v.body) != "new" || opened > mostTries {
				t.Errorf("the tag %s with the bytes %q, after %d looks", v.etag, v.body, opened)
			}
			if replacements == 1 && string(v.etag) != `"tag-new"` {
				t.Errorf("the tag is %s", v.etag)
			}
		})
	}
}

// A file that is read for its tag is let go of when it has changed or has no name left.
func TestReadingForATagEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(path string)
		ends bool
	}{
		"nothing":  {func(string) {}, false},
		"removed":  {func(path string) { os.Remove(path) }, true},
		"appended": {func(path string) { os.WriteFile(path, pattern(2000), 0o644) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/f"
			if err := os.WriteFile(path, pattern(1000), 0o644); err != nil {
				t.Fatal(err)
			}
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			f := newDescriptor(file, int(file.Fd()))
			defer f.letGo()
			var s stamp
			if err := f.stat(&s); err != nil {
				t.Fatal(err)
			}
			tt.do(path)
			if tag, err := sumOf(&s, f); errors.Is(err, errChanged) != tt.ends || (tag == "") != tt.ends {
				t.Errorf("%q, %v", tag, err)
			}
		})
	}
}

// While a large file is being read for its tag no other version of it is, and not more
// than some others: each keeps a file open.
func TestReadingForTagsIsBounded(t *testing.T) {
	tags := newTags(TagContent, t.Logf)
	tags.line <- struct{}{} // somebody is being read
	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	f := newDescriptor(file, int(file.Fd()))
	ask := func(ino uint64, mtime int64) {
		tags.content(&stamp{ino: ino, mtime: mtime, size: hashedAtOnce + 1, nlink: 1}, f)
	}
	for version := range int64(10) {
		ask(1, version)
	}
	if n := f.holders.Load(); n != 2 {
		t.Errorf("for ten versions of a file %d hold it, beside its owner", n-1)
	}
	for ino := range uint64(10 * mostAside) {
		ask(ino, 0)
	}
	if n := f.holders.Load(); n != 1+mostAside {
		t.Errorf("%d files are held, %d at most", n-1, mostAside)
	}
	<-tags.line
	eventually(t, "all are let go of", func() bool { return f.holders.Load() == 1 })
	f.letGo()
}
