//go:build unix

package static

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"
)

func TestCacheIsBounded(t *testing.T) {
	s := serve(t, Options{CacheBytes: 100 << 10, OpenFiles: 4})
	for i := range 200 {
		small, large := fmt.Sprintf("s%d", i), fmt.Sprintf("l%d", i)
		s.write(t, small, pattern(5000))
		s.write(t, large, pattern(smallFile+1))
		for range 3 { // read in, kept, copied
			for _, name := range []string{small, large} {
				v, again, err := s.files.get([]byte(name), time.Now())
				if err != nil {
					t.Fatal(err)
				}
				if again {
					v = s.files.copied(v, []byte(name), time.Now())
				}
				v.letGo()
			}
		}
		if c := s.files; c.bytes > 100<<10 || c.open > 4 {
			t.Fatalf("after %d files the cache has %d bytes and %d open", i, c.bytes, c.open)
		}
	}
	if open := openHere(t, s.dir); len(open) > 4+1 { // and the root
		t.Errorf("open are %q", open)
	}
}

// The second answer, and those after it, come from a copy, which does not change
// with the file.
func TestCopyDoesNotChange(t *testing.T) {
	s := serve(t, Options{Revalidate: time.Hour})
	want := pattern(60_000)
	s.write(t, "f", want)
	s.settled(t, "f")
	a := s.ask(t, "f")
	if !a.Version.copy {
		t.Skip("copies need memfd_create, which Linux has")
	}
	if err := os.WriteFile(s.path("f"), bytes.Repeat([]byte("x"), 60_000), 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := a.body(); err != nil || !bytes.Equal(b, want) {
		t.Errorf("the copy has changed (%v)", err)
	}
	if _, err := a.Version.file.WriteAt([]byte("x"), 0); err == nil {
		t.Error("the copy can be written to")
	}
}

// Copies take no more memory than they may: large ones only what is free, and what is
// still being sent counts. One that nobody asks for makes room.
func TestCopiesAreBounded(t *testing.T) {
	s := serve(t, Options{CacheBytes: 4 << 20, Idle: 100 * time.Millisecond})
	const size = 500_000
	copied := func(i int) bool {
		t.Helper()
		var a *Answer
		for range 2 {
			a = s.ask(t, fmt.Sprint(i))
			t.Cleanup(a.Close) // not before the end: it is still being sent
		}
		return a.Version.copy
	}
	for i := range 20 {
		s.write(t, fmt.Sprint(i), pattern(size))
		s.settled(t, fmt.Sprint(i))
	}
	if !copied(0) {
		t.Skip("copies need memfd_create, which Linux has")
	}
	n := 1
	for i := 1; i < 20; i++ {
		if copied(i) {
			n++
		}
	}
	if m := s.files.load.memory.taken.Load(); n != 8 || m != 8*size {
		t.Errorf("%d copies of %d bytes", n, m)
	}
	eventually(t, "those that nobody asks for are dropped", func() bool {
		s.files.mu.RLock()
		defer s.files.mu.RUnlock()
		return s.files.bytes == 0
	})
	if copied(19) {
		t.Error("what is being sent does not count")
	}
}

// A version is told by the time of change: the times of modification of
// reproducible builds are all the same, and inode numbers are given again.
func TestVersionsOfOneTimeAndSize(t *testing.T) {
	for _, size := range []int{2, 20_000, 100_000, 2 << 20} {
		for _, how := range []string{"in place", "removed and made anew", "renamed over"} {
			s := serve(t, Options{Revalidate: -1})
			put := func(c byte) []byte {
				content, name := bytes.Repeat([]byte{c}, size), "f"
				switch how {
				case "removed and made anew":
					os.Remove(s.path("f"))
				case "renamed over":
					name = "g"
				}
				s.write(t, name, content)
				os.Chtimes(s.path(name), time.Unix(1, 0), time.Unix(1, 0))
				if name == "g" {
					os.Rename(s.path("g"), s.path("f"))
				}
				return content
			}
			old := put('1')
			s.settled(t, "f")
			b, tag := s.get(t, "f")
			if !bytes.Equal(b, old) || tag == "" {
				t.Fatalf("%s, %d: %d bytes, tag %q", how, size, len(b), tag)
			}
			fresh := put('2')
			s.settled(t, "f")
			b, after := s.get(t, "f")
			if !bytes.Equal(b, fresh) || after == tag || after == "" {
				t.Errorf("%s, %d: the version before is served, or its tag: %.3q, %s, before %s", how, size, b, after, tag)
			}
		}
	}
}

// Files of /proc and /sys have sizes and times that say nothing.
func TestFilesWithoutATrueSize(t *testing.T) {
	for _, dir := range []string{"/proc/sys/kernel", "/sys/kernel/mm", "/proc"} {
		h, err := New(dir, Options{})
		if err != nil {
			t.Skip("needs Linux's /proc and /sys")
		}
		defer h.Close()
		s := &served{dir, h}
		for _, name := range []string{"ostype", "transparent_hugepage/enabled", "kallsyms"} {
			want, err := os.ReadFile(s.path(name))
			if err != nil || len(want) == 0 {
				continue
			}
			a := s.ask(t, name, "Range", "bytes=0-0")
			b, err := a.body()
			if a.Status != 200 || err != nil || !bytes.Equal(b, want) {
				t.Errorf("%s: %d, %d bytes (%v), want %d", s.path(name), a.Status, len(b), err, len(want))
			}
			if a.field("ETag")+a.field("Last-Modified")+a.field("Accept-Ranges") != "" {
				t.Errorf("%s: it says %q of what cannot be known", s.path(name), a.Fields)
			}
			if len(want) > smallFile && a.Len() != -1 || len(want) <= smallFile && a.Len() != int64(len(want)) {
				t.Errorf("%s: length %d of %d", s.path(name), a.Len(), len(want))
			}
		}
	}
}

func TestNamesAreNames(t *testing.T) {
	s := serve(t, Options{})
	for _, name := range []string{`a\b.txt`, `\`, "a b", "ü.txt", ".hidden", "...", "a:b", "-", "%41"} {
		s.write(t, name, []byte(name))
		if b, _ := s.get(t, name); string(b) != name {
			t.Errorf("%q: %q", name, b)
		}
	}
}

func TestEmptyFilesAreSentWhole(t *testing.T) {
	s := serve(t, Options{})
	s.write(t, "empty.txt", nil)
	for _, r := range []string{"bytes=-5", "bytes=0-", "bytes=0-0", "bytes=5-9", "bytes=-0"} {
		if a := s.ask(t, "empty.txt", "Range", r); a.Status != 200 || a.Len() != 0 {
			t.Errorf("%s: %d, %d bytes", r, a.Status, a.Len())
		}
	}
}
