//go:build unix

package static

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var allCodings = Options{Precompressed: true, Encode: []int{0, 1, 2}, Revalidate: -1}

// plain returns the body of a as it was before it was coded.
func (a *Answer) plain(t *testing.T) []byte {
	t.Helper()
	b, err := a.body()
	if err != nil {
		t.Fatal(err)
	}
	if name := a.field("Content-Encoding"); name != "" {
		if b, err = codings[codingNamed([]byte(name))].decodeWithin(bytes.NewReader(b), 64<<20); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// writeCoded writes name, coded.
func (s *served) writeCoded(t *testing.T, name string, content []byte) {
	t.Helper()
	for _, c := range codings {
		if strings.HasSuffix(name, c.ext) {
			b, err := c.encode(content)
			if err != nil {
				t.Fatal(err)
			}
			s.write(t, name, b)
		}
	}
}

func TestCodings(t *testing.T) {
	s := serve(t, allCodings)
	long := time.Now().Add(-time.Hour)
	text, beside := pattern(20_000), []byte("from beside\n")
	s.write(t, "fly.txt", text)
	s.write(t, "large.txt", pattern(1<<20))
	s.write(t, "photo.jpg", text)
	s.write(t, "short.txt", []byte("short"))
	s.write(t, "both.txt", text)
	s.writeCoded(t, "both.txt.gz", beside)
	s.write(t, "font.woff2", text)
	s.writeCoded(t, "font.woff2.br", beside)
	s.writeCoded(t, "alone.txt.br", text)
	s.writeCoded(t, "alone.txt.gz", text)
	s.writeCoded(t, "stale.txt.br", beside)
	s.write(t, "stale.txt", text)
	os.Chtimes(s.path("stale.txt.br"), long, long)
	s.write(t, "folder.txt", text)
	os.Mkdir(s.path("folder.txt.br"), 0o755)
	for _, name := range []string{"fly.txt", "large.txt", "photo.jpg", "both.txt", "both.txt.gz", "font.woff2", "font.woff2.br", "alone.txt.br", "alone.txt.gz", "stale.txt", "folder.txt"} {
		s.settled(t, name)
	}
	for _, tt := range []struct {
		path, accept string
		coding       string
		body         []byte
		vary         bool
	}{
		{"fly.txt", "gzip", "gzip", text, true},
		{"fly.txt", "zstd", "zstd", text, true},
		{"fly.txt", "gzip, br", "br", text, true},
		{"fly.txt", "gzip, br;q=0.9", "gzip", text, true},
		{"fly.txt", "gzip;q=0.5, identity", "", text, true},
		{"fly.txt", "gzip, identity", "gzip", text, true},
		{"fly.txt", "deflate", "", text, true},
		{"fly.txt", "*", "br", text, true},
		{"fly.txt", "none of ours", "", text, true},
		{"large.txt", "zstd", "zstd", pattern(1 << 20), true},
		{"photo.jpg", "br", "", text, false},
		{"short.txt", "br", "", []byte("short"), false},
		{"both.txt", "br, gzip", "gzip", beside, true},
		{"both.txt", "br, gzip;q=0.9", "br", text, true},
		{"both.txt.gz", "br, gzip", "", nil, false},
		{"font.woff2", "br", "br", beside, true},
		{"font.woff2", "gzip", "", text, true},
		{"alone.txt", "br, gzip", "br", text, true},
		{"alone.txt", "gzip", "gzip", text, true},
		{"alone.txt", "zstd", "", text, true},
		{"alone.txt", "", "", text, true},
		{"stale.txt", "br", "br", text, true},
		{"folder.txt", "br", "br", text, true},
	} {
		for range 3 { // made, from the cache, from a copy
			a := s.ask(t, tt.path, "Accept-Encoding", tt.accept)
			if a.Status != 200 || a.field("Content-Encoding") != tt.coding || tt.body != nil && !bytes.Equal(a.plain(t), tt.body) {
				t.Fatalf("%s, %q: %d %q, %d bytes", tt.path, tt.accept, a.Status, a.field("Content-Encoding"), len(a.plain(t)))
			}
			if got := a.field("Vary") == "Accept-Encoding"; got != tt.vary {
				t.Errorf("%s, %q: Vary: %q", tt.path, tt.accept, a.field("Vary"))
			}
			if ranges := a.field("Accept-Ranges") != ""; ranges != (tt.coding == "") {
				t.Errorf("%s, %q: Accept-Ranges: %q", tt.path, tt.accept, a.field("Accept-Ranges"))
			}
			if want := contentType(tt.path[strings.LastIndexByte(tt.path, '.'):]); string(a.ContentType) != want {
				t.Errorf("%s, %q: Content-Type: %s", tt.path, tt.accept, a.ContentType)
			}
		}
	}
}

// Each coding has a tag of its own, and conditions are about what would be sent.
func TestTagsOfCodings(t *testing.T) {
	s := serve(t, allCodings)
	s.write(t, "f.txt", pattern(20_000))
	s.settled(t, "f.txt")
	tags := map[string]string{}
	for _, accept := range []string{"identity", "br", "zstd", "gzip"} {
		a := s.ask(t, "f.txt", "Accept-Encoding", accept)
		for other, tag := range tags {
			if tag == a.field("ETag") {
				t.Errorf("%s has the tag of %s", accept, other)
			}
		}
		tags[accept] = a.field("ETag")
	}
	for accept := range tags {
		for of, tag := range tags {
			want := 200
			if of == accept {
				want = 304
			}
			a := s.ask(t, "f.txt", "Accept-Encoding", accept, "If-None-Match", tag)
			if a.Status != want || a.field("Vary") != "Accept-Encoding" || want == 304 && a.field("ETag") != tag {
				t.Errorf("%s, the tag of %s: %d, %v", accept, of, a.Status, a.Fields)
			}
			if want = 412; of == accept {
				want = 200
			}
			if a := s.ask(t, "f.txt", "Accept-Encoding", accept, "If-Match", tag); a.Status != want {
				t.Errorf("%s, If-Match with the tag of %s: %d", accept, of, a.Status)
			}
		}
	}
	a := s.ask(t, "f.txt", "Accept-Encoding", "br", "Range", "bytes=5-9", "If-Range", tags["identity"])
	if b, err := a.body(); a.Status != 206 || err != nil || !bytes.Equal(b, pattern(20_000)[5:10]) || a.field("Content-Encoding") != "" || a.field("ETag") != tags["identity"] || a.field("Vary") == "" {
		t.Errorf("a range of what could be coded: %d %q, %v", a.Status, b, a.Fields)
	}
	if a := s.ask(t, "f.txt", "Accept-Encoding", "br", "Range", "bytes=5-9", "If-Range", tags["br"]); a.Status != 200 {
		t.Errorf("a range of the coded one: %d", a.Status)
	}
	if a := s.ask(t, "f.txt", "Accept-Encoding", "identity;q=0"); a.Status != 406 || a.field("Vary") == "" {
		t.Errorf("nothing is acceptable: %d", a.Status)
	}
	if a := s.ask(t, "f.txt", "Accept-Encoding", "br, identity;q=0", "Range", "bytes=0-1"); a.Status != 200 || a.field("Content-Encoding") != "br" {
		t.Errorf("a range, and only br: %d %v", a.Status, a.Fields)
	}
}

// What was made of a file goes with it.
func TestCodedVersionsFollowTheFile(t *testing.T) {
	s := serve(t, allCodings)
	for i := range 3 {
		content := bytes.Repeat(fmt.Appendf(nil, "version %d\n", i), 2000)
		s.write(t, "f.txt", content)
		s.settled(t, "f.txt")
		for range 2 {
			if a := s.ask(t, "f.txt", "Accept-Encoding", "zstd"); !bytes.Equal(a.plain(t), content) || a.field("Content-Encoding") != "zstd" {
				t.Fatalf("%d: %.20q, %v", i, a.plain(t), a.Fields)
			}
		}
	}
	s.writeCoded(t, "f.txt.br", []byte("beside"))
	if a := s.ask(t, "f.txt", "Accept-Encoding", "br"); string(a.plain(t)) != "beside" {
		t.Errorf("a file that was put beside: %.20q", a.plain(t))
	}
	os.Remove(s.path("f.txt.br"))
	if a := s.ask(t, "f.txt", "Accept-Encoding", "br"); string(a.plain(t)) == "beside" {
		t.Error("a file beside is sent that was removed")
	}
	os.Remove(s.path("f.txt"))
	if a := s.ask(t, "f.txt", "Accept-Encoding", "zstd"); a.Status != 404 {
		t.Errorf("removed: %d", a.Status)
	}
	s.files.mu.RLock()
	defer s.files.mu.RUnlock()
	if len(s.files.known) > 0 || s.files.bytes != 0 {
		t.Errorf("%d versions with %d bytes are left", len(s.files.known), s.files.bytes)
	}
}

// A file in whose place another is sent is looked at as often as its name is, and not for each
// request; who gets the file itself gets it as it is now, and after that everybody does.
func TestRepresentedFilesAreNotLookedAt(t *testing.T) {
	before, after := bytes.Repeat([]byte("# before\n"), 2000), bytes.Repeat([]byte("# after\n"), 3000)
	for _, tt := range []struct {
		name   string
		file   string
		o      Options
		beside bool
		header []string // of who is sent another
		way    string   // of having it changed
		status int      // that who gets the file itself gets then
	}{
		{"beside", "f.txt", allCodings, true, []string{"Accept-Encoding", "gzip"}, "over", 200},
		{"made", "f.txt", allCodings, false, []string{"Accept-Encoding", "gzip"}, "over", 200},
		{"shown", "f.md", Options{Markdown: true}, false, []string{"Accept", "text/html"}, "over", 200},
		{"shown and made", "f.md", Options{Markdown: true, Encode: []int{gzipCoding}}, false, []string{"Accept", "text/html", "Accept-Encoding", "gzip"}, "over", 200},
		{"beside, appended to", "f.txt", allCodings, true, []string{"Accept-Encoding", "gzip"}, "append", 200},
		{"beside, gone", "f.txt", allCodings, true, []string{"Accept-Encoding", "gzip"}, "remove", 404},
		{"beside, a folder", "f.txt", allCodings, true, []string{"Accept-Encoding", "gzip"}, "folder", 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Revalidate = time.Hour
			s := serve(t, tt.o)
			s.write(t, tt.file, before)
			if tt.beside {
				s.writeCoded(t, tt.file+".gz", before)
			}
			s.settled(t, tt.file)
			other := func() []byte { return s.ask(t, tt.file, tt.header...).plain(t) }
			first := other()
			s.ask(t, tt.file, tt.header...)
			want := after
			switch tt.way {
			case "over":
				s.write(t, tt.file, after)
			case "append":
				f, err := os.OpenFile(s.path(tt.file), os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				f.Write(after)
				f.Close()
				want = slices.Concat(before, after)
			case "remove":
				os.Remove(s.path(tt.file))
			case "folder":
				os.Remove(s.path(tt.file))
				os.Mkdir(s.path(tt.file), 0o755)
			}
			if got := other(); !bytes.Equal(got, first) {
				t.Errorf("it was looked at for %.30q", got)
			}
			a := s.ask(t, tt.file)
			if a.Status != tt.status {
				t.Fatalf("the file itself: %d", a.Status)
			}
			if tt.status != 200 {
				if a.Version != nil {
					t.Error("a version is held")
				}
				return
			}
			if got, err := a.body(); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the file itself: %d bytes such as %.30q, %v", len(got), got, err)
			}
			if got := other(); bytes.Equal(got, first) {
				t.Errorf("after that it is %.30q still", got)
			}
		})
	}
}

// What was made of a file is found without a look at the cache, as long as it is there.
func TestCodedVersionsLeaveWithTheCache(t *testing.T) {
	o := allCodings
	o.Revalidate = time.Hour
	s := serve(t, o)
	s.write(t, "f.txt", bytes.Repeat([]byte("a line of it\n"), 2000))
	s.settled(t, "f.txt")
	for range 2 {
		s.ask(t, "f.txt", "Accept-Encoding", "gzip")
	}
	v := s.files.known["f.txt"]
	n := v.codedBefore(gzipCoding)
	if n == nil || n != s.files.known[string(appendDerived(nil, []byte("f.txt"), gzipCoding))] {
		t.Fatal("it is not found")
	}
	n.letGo()
	s.files.mu.Lock()
	s.files.dropLocked(string(appendDerived(nil, []byte("f.txt"), gzipCoding)))
	s.files.mu.Unlock()
	if v.codedBefore(gzipCoding) != nil {
		t.Error("it is found where it is not kept any more")
	}
	if a := s.ask(t, "f.txt", "Accept-Encoding", "gzip"); a.field("Content-Encoding") != "gzip" {
		t.Errorf("%v", a.Fields)
	}
}

// Lines of Accept-Encoding that share a place do not mean what another means.
func TestAcceptedLines(t *testing.T) {
	var known accepted
	for range 3 {
		for _, line := range []string{"gzip", "br;q", "zstd", "gzip, deflate, br, zstd", strings.Repeat("gzip,", 30), "", "br"} {
			lines := [][]byte{[]byte(line)}
			if got, want := known.of(lines), acceptEncoding(lines); got != want {
				t.Errorf("%q: %v, want %v", line, got, want)
			}
		}
	}
	if got, want := known.of([][]byte{[]byte("gzip"), []byte("br")}), acceptEncoding([][]byte{[]byte("gzip"), []byte("br")}); got != want {
		t.Errorf("two lines: %v, want %v", got, want)
	}
}

// What is decoded is no larger than what may be kept, and is not tried again.
func TestDecodedWouldNotFit(t *testing.T) {
	o := allCodings
	o.CacheBytes = 1 << 20
	tries := 0
	o.Logf = func(string, ...any) { tries++ }
	s := serve(t, o)
	bomb := make([]byte, 64<<20)
	for _, c := range codings {
		s.writeCoded(t, c.name+".txt"+c.ext, bomb)
		s.write(t, "bad"+c.name+".txt"+c.ext, []byte("this is nothing"))
		s.settled(t, c.name+".txt"+c.ext)
		s.settled(t, "bad"+c.name+".txt"+c.ext)
		for range 3 {
			for _, name := range []string{c.name + ".txt", "bad" + c.name + ".txt"} {
				if a := s.ask(t, name); a.Status != 406 || a.field("Vary") == "" {
					t.Errorf("%s: %d", name, a.Status)
				}
			}
		}
		if a := s.ask(t, c.name+".txt", "Accept-Encoding", c.name); a.Status != 200 {
			t.Errorf("%s, accepted: %d", c.name, a.Status)
		}
	}
	if tries != 2*len(codings) {
		t.Errorf("it was tried %d times", tries)
	}
}

// Coded versions are part of what the cache may hold.
func TestCodedVersionsAreBounded(t *testing.T) {
	o := allCodings
	o.CacheBytes = 200 << 10
	s := serve(t, o)
	for i := range 60 {
		name := fmt.Sprintf("%d.txt", i)
		s.write(t, name, pattern(20_000))
		s.settled(t, name)
		for _, accept := range []string{"br", "zstd", "gzip"} {
			if a := s.ask(t, name, "Accept-Encoding", accept); a.field("Content-Encoding") != accept {
				t.Fatalf("%s: %v", accept, a.Fields)
			}
		}
		if s.files.bytes > o.CacheBytes {
			t.Fatalf("after %d files the cache has %d bytes", i, s.files.bytes)
		}
	}
}

// Files beside others are beneath the root, as those are.
func TestFilesBesideAreConfined(t *testing.T) {
	s := serve(t, allCodings)
	outside := t.TempDir() + "/secret.br"
	b, _ := codings[0].encode([]byte("secret"))
	os.WriteFile(outside, b, 0o644)
	s.write(t, "f.txt", []byte("f"))
	os.Symlink(outside, s.path("f.txt.br"))
	os.Symlink(outside, s.path("g.txt.br"))
	if a := s.ask(t, "f.txt", "Accept-Encoding", "br"); a.field("Content-Encoding") != "" {
		t.Error("a file outside the root is sent")
	}
	if a := s.ask(t, "g.txt", "Accept-Encoding", "br"); a.Status != 404 {
		t.Errorf("a file outside the root: %d", a.Status)
	}
}
