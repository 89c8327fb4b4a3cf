//go:build unix

package static

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"
)

// meddler does something when so much of a body has come.
type meddler struct {
	bytes.Buffer
	after int
	do    func()
}

func (m *meddler) Write(p []byte) (int, error) {
	n, _ := m.Buffer.Write(p)
	if m.do != nil && m.Len() >= m.after {
		m.do()
		m.do = nil
	}
	return n, nil
}

// Hide ReadFrom: what is meddled with has to come piece by piece.
func (m *meddler) ReadFrom() {}

// A file that changes while it is sent itself ends its answer: the last bytes are
// not sent. What only concerns its name does not.
func TestChangeWhileItIsSent(t *testing.T) {
	const size = 3 << 20
	for _, bySendfile := range []bool{false, true} {
		for _, tt := range []struct {
			name   string
			do     func(s *served)
			breaks bool
		}{
			{"written over", func(s *served) { writeAt(s.path("f"), []byte("x"), 10) }, true},
			{"written over, its time set back", func(s *served) {
				fi, _ := os.Stat(s.path("f"))
				writeAt(s.path("f"), []byte("x"), size-10)
				os.Chtimes(s.path("f"), fi.ModTime(), fi.ModTime())
			}, true},
			{"written over by cp -p of another with its time", func(s *served) {
				fi, _ := os.Stat(s.path("f"))
				writeAt(s.path("f"), []byte("x"), size-10)
				os.Chmod(s.path("f"), 0o664)
				os.Chtimes(s.path("f"), fi.ModTime(), fi.ModTime())
			}, true},
			{"written to behind", func(s *served) { writeAt(s.path("f"), []byte("x"), size) }, true},
			{"cut off", func(s *served) { os.Truncate(s.path("f"), size-1) }, true},
			{"emptied", func(s *served) { os.Truncate(s.path("f"), 0) }, true},
			{"removed", func(s *served) { os.Remove(s.path("f")) }, false},
			{"replaced", func(s *served) { os.Rename(s.path("g"), s.path("f")) }, false},
			{"linked", func(s *served) { os.Link(s.path("f"), s.path("h")) }, false},
			{"other rights", func(s *served) { os.Chmod(s.path("f"), 0o600) }, true}, // as cp -p leaves it
			{"read by another", func(s *served) { os.ReadFile(s.path("f")) }, false},
		} {
			for _, header := range []string{"", "bytes=1000000-2999999", "bytes=0-1999999,2000000-2500000"} {
				if bySendfile {
					readUpTo(t, 1<<20)
				}
				s := serve(t, Options{CacheBytes: 1 << 20}) // too small for a copy
				s.write(t, "f", pattern(size))
				s.write(t, "g", pattern(size))
				s.settled(t, "f")
				a := s.ask(t, "f", "Range", header)
				var body Body
				m := &meddler{after: 600_000, do: func() { tt.do(s) }}
				want := a.Len()
				body.Take(a)
				n, err := body.WriteTo(m)
				if broken := errors.Is(err, errChanged); broken != tt.breaks || broken == (n == want) || n != body.Sent() || n != int64(m.Len()) {
					t.Errorf("%s, range %q, by sendfile %v: %d of %d bytes, %v", tt.name, header, bySendfile, n, want, err)
				}
				body.Close()
			}
		}
	}
}

func writeAt(path string, b []byte, at int64) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	f.WriteAt(b, at)
}

// readUpTo has clients taken to have read all but n bytes of what was sent.
func readUpTo(t *testing.T, n int64) {
	was := unread
	unread = func() int64 { return n }
	t.Cleanup(func() { unread = was })
}

// A large file goes to the writer's ReadFrom, but for what may be on its way at the
// end.
func TestLargeFilesGoBySendfile(t *testing.T) {
	readUpTo(t, 1<<20)
	s := serve(t, Options{CacheBytes: 1 << 20})
	want := pattern(3 << 20)
	s.write(t, "f", want)
	s.settled(t, "f")
	a := s.ask(t, "f")
	var body Body
	var to bytes.Buffer
	body.Take(a)
	defer body.Close()
	if n, err := body.WriteTo(&to); n != int64(len(want)) || err != nil || !bytes.Equal(to.Bytes(), want) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if got := body.section.Size(); got != int64(len(want))-1<<20 {
		t.Errorf("the section is %d bytes", got)
	}
}

// Nobody's answer keeps a file open for longer than it takes.
func TestBodyLetsGo(t *testing.T) {
	s := serve(t, Options{Idle: time.Millisecond})
	s.write(t, "f", pattern(2<<20))
	a := s.ask(t, "f")
	var body Body
	body.Take(a)
	eventually(t, "only the body holds the file", func() bool { return len(openHere(t, s.dir)) == 1 })
	body.Close()
	eventually(t, "nothing is open", func() bool { return len(openHere(t, s.dir)) == 0 })
}

// A file that is written to all the time can be had: as it is, and by ranges.
func TestGrowingFile(t *testing.T) {
	limits := 0
	for _, size := range []int{2 << 20, 100_000} {
		s := serve(t, Options{Revalidate: time.Hour, CacheBytes: 512 << 10}) // too small for a copy
		content := pattern(size)
		s.write(t, "log", content)
		s.settled(t, "log")
		s.get(t, "log")
		f, err := os.OpenFile(s.path("log"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for i := 0; i < 30 || size == 100_000 && limits < 5 && i < 300; i++ { // what shows depends on the machine's pace
			line := []byte("one line more\n")
			f.Write(line)
			content = append(content[:len(content):len(content)], line...)
			a := s.ask(t, "log")
			var body Body
			m := &meddler{after: 1000, do: func() { f.Write(line) }}
			asItIs := a.asItIs
			body.Take(a)
			_, err := body.WriteTo(m)
			body.Close()
			content = append(content[:len(content):len(content)], line...)
			if !asItIs && err == errChanged {
				continue // the machine was slow after the line before, and the file seemed at rest
			}
			if err != nil || !bytes.Equal(m.Bytes(), content) && !bytes.Equal(m.Bytes(), content[:len(content)-len(line)]) {
				t.Fatalf("%d, line %d: %d bytes of %d, %v", size, i, m.Len(), len(content), err)
			}
			if m.Len() != size && (a.field("ETag") != "" || a.field("Last-Modified") != "") {
				t.Fatalf("line %d: it says %q of a file that is being written to", i, a.Fields)
			}
			if limited := s.ask(t, "log"); limited.Limit() {
				m := &meddler{after: 1000, do: func() { f.Write(line) }}
				body.Take(limited)
				_, err := body.WriteTo(m)
				body.Close()
				if err != nil || !bytes.Equal(m.Bytes(), content) {
					t.Fatalf("%d, line %d, limited: %d bytes of %d, %v", size, i, m.Len(), len(content), err)
				}
				content = append(content[:len(content):len(content)], line...)
				limits++
			} else {
				limited.Close()
			}
			if b, err := s.ask(t, "log", "Range", "bytes=50-149").body(); err != nil || !bytes.Equal(b, content[50:150]) {
				t.Fatalf("line %d: a range: %q, %v", i, b, err)
			}
		}
	}
	if limits == 0 {
		t.Error("it was never seen to grow")
	}
}

// What cannot go by sendfile comes from the mapping of a copy: whole and in ranges, also when the version has left
// the cache meanwhile.
func TestCopyIsMapped(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there are no copies")
	}
	s := serve(t, Options{})
	content := pattern(300_000)
	s.write(t, "f", content)
	s.settled(t, "f")
	s.get(t, "f")
	s.get(t, "f")
	for name, want := range map[string][]byte{"": content, "bytes=100000-299998": content[100_000:299_999], "bytes=299999-": content[299_999:]} {
		a := s.ask(t, "f", "Range", name)
		if !a.Version.copy {
			t.Fatal("it is no copy")
		}
		body := Body{Copy: true}
		body.Take(a)
		s.files.shed()
		var to bytes.Buffer
		if _, err := body.WriteTo(&to); err != nil || !bytes.Equal(to.Bytes(), want) {
			t.Errorf("%q: %d bytes, %v", name, to.Len(), err)
		}
		if v := body.a.Version; len(v.file.view.of(v.file, v.size)) != len(content) {
			t.Error("it is not mapped")
		}
		body.Close()
		s.get(t, "f")
		s.get(t, "f")
	}
}
