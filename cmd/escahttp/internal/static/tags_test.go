//go:build unix

package static

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The same file has the same tag on two machines, whatever its inode; another has
// another.
func TestTags(t *testing.T) {
	when := time.Unix(1_700_000_000, 123_456_789)
	for _, how := range []Tagging{"", TagAuto, TagContent, TagMtime, TagOff} {
		for _, size := range []int{0, 1, 100, smallFile, smallFile + 1, copiedAlways, copiedAlways + 1, 200_000, 1 << 20, 1<<20 + 1, 2 << 20} {
			var tags []string
			for replica, content := range [][]byte{pattern(size), pattern(size), pattern(size + 1)[1:]} {
				s := serve(t, Options{Tagging: how})
				if replica == 1 {
					s.write(t, "another inode", nil)
				}
				s.write(t, "f", content)
				at := when
				if replica == 2 {
					at = at.Add(1)
				}
				os.Chtimes(s.path("f"), at, at)
				s.settled(t, "f")
				for range 3 { // the file itself, and a copy
					_, tag := s.get(t, "f")
					tags = append(tags, tag)
				}
			}
			for _, tag := range tags[1:6] {
				if tag != tags[0] {
					t.Errorf("%q, %d: the tags are %q", how, size, tags)
				}
			}
			differ := size > 0 || how == TagMtime
			if (tags[8] == tags[0]) == (differ && how != TagOff) {
				t.Errorf("%q, %d: another version has the tag %s, the first %s", how, size, tags[8], tags[0])
			}
			if how == TagOff && tags[0] != "" || how != TagOff && (len(tags[0]) < 3 || tags[0][0] != '"') {
				t.Errorf("%q, %d: the tag is %q", how, size, tags[0])
			}
		}
	}
}

// By contents, a file that is touched or copied keeps its tag.
func TestTagByContentIsOfTheContents(t *testing.T) {
	s := serve(t, Options{Tagging: TagContent, Revalidate: -1})
	for _, size := range []int{100, 100_000, 2 << 20} {
		s.write(t, "f", pattern(size))
		s.settled(t, "f")
		_, before := s.get(t, "f")
		os.Chtimes(s.path("f"), time.Unix(1, 0), time.Unix(1, 0))
		s.settled(t, "f")
		if _, after := s.get(t, "f"); after != before {
			t.Errorf("%d: %s, before %s", size, after, before)
		}
	}
}

// A large file gets its tag by contents in the background.
func TestTagOfALargeFileComesLater(t *testing.T) {
	s := serve(t, Options{Tagging: TagContent})
	f, err := os.Create(s.path("f"))
	if err != nil {
		t.Fatal(err)
	}
	f.Truncate(hashedAtOnce + 1)
	f.Close()
	s.settled(t, "f")
	tag := ""
	eventually(t, "it has a tag", func() bool { tag = s.ask(t, "f").field("ETag"); return tag != "" })
	if again := s.ask(t, "f").field("ETag"); again != tag {
		t.Errorf("%s, then %s", tag, again)
	}
}

func TestSidecars(t *testing.T) {
	old, fresh := time.Now().Add(-time.Hour), time.Now()
	for _, tt := range []struct {
		name, sidecar, tag string // no tag: one of our own
		at                 time.Time
	}{
		{"word", "abc\n", `"abc"`, fresh},
		{"quoted", `"abc"`, `"abc"`, fresh},
		{"weak", `W/"abc"`, `W/"abc"`, fresh},
		{"as sha256sum writes it", "9f86d081  f\n", `"9f86d081"`, fresh},
		{"of the same time", "abc", `"abc"`, old.Add(time.Minute)},
		{"older than the file", "abc", "", old},
		{"empty", "", "", fresh},
		{"quotes inside", `"a"b"`, "", fresh},
		{"weak without quotes", `W/abc`, "", fresh},
		{"controls", "a\x01b", "", fresh},
		{"too long", strings.Repeat("a", 200), "", fresh},
	} {
		for _, size := range []int{10, 100_000} {
			for _, how := range []Tagging{TagAuto, TagContent, TagMtime, TagOff} {
				s := serve(t, Options{Tagging: how, Revalidate: -1})
				s.write(t, "f", pattern(size))
				os.Chtimes(s.path("f"), old.Add(time.Minute), old.Add(time.Minute))
				s.settled(t, "f")
				_, own := s.get(t, "f")
				s.write(t, "f.etag", []byte(tt.sidecar))
				os.Chtimes(s.path("f.etag"), tt.at, tt.at)
				want := tt.tag
				if want == "" || how == TagOff {
					want = own
				}
				for range 3 {
					if _, tag := s.get(t, "f"); tag != want {
						t.Errorf("%s, %d, %s: %q, want %q", tt.name, size, how, tag, want)
					}
				}
				os.Remove(s.path("f.etag"))
				if _, tag := s.get(t, "f"); tag != own {
					t.Errorf("%s, %d, %s: when it is gone, %q, want %q", tt.name, size, how, tag, own)
				}
			}
		}
	}
}

func TestSidecarThatIsNoFile(t *testing.T) {
	s := serve(t, Options{})
	s.write(t, "f", []byte("f"))
	os.Mkdir(s.path("f.etag"), 0o755)
	s.write(t, "g", []byte("g"))
	os.Symlink(filepath.Join(t.TempDir(), "x"), s.path("g.etag"))
	for _, name := range []string{"f", "g"} {
		if _, tag := s.get(t, name); tag == "" {
			t.Errorf("%s has no tag", name)
		}
	}
}

func TestConditionsWithAWeakTag(t *testing.T) {
	s := serve(t, Options{})
	s.write(t, "f", []byte("0123456789"))
	s.write(t, "f.etag", []byte(`W/"abc"`))
	for _, tt := range []struct {
		header, value string
		status        int
	}{
		{"If-None-Match", `"abc"`, 304}, {"If-None-Match", `W/"abc"`, 304}, {"If-None-Match", `"abd"`, 200},
		{"If-Match", `"abc"`, 412}, {"If-Match", `W/"abc"`, 412}, {"If-Match", "*", 200},
	} {
		if a := s.ask(t, "f", tt.header, tt.value); a.Status != tt.status {
			t.Errorf("%s: %s: %d, want %d", tt.header, tt.value, a.Status, tt.status)
		}
	}
	for _, value := range []string{`"abc"`, `W/"abc"`} {
		if a := s.ask(t, "f", "Range", "bytes=0-1", "If-Range", value); a.Status != 200 {
			t.Errorf("If-Range: %s: %d", value, a.Status)
		}
	}
}
