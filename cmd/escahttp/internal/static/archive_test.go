//go:build unix

package static

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

const plenty = 64 << 20

// packed asks for an archive, and returns what is in it.
func (s *served) packed(t *testing.T, path, format string) map[string]string {
	t.Helper()
	a := s.ask(t, path+"?format="+format)
	if a.Status != 200 || a.Stream == nil || a.Len() != -1 {
		t.Fatalf("%s as %s: %d", path, format, a.Status)
	}
	var to bytes.Buffer
	n, err := sendStream(a, &to)
	if err != nil || n != int64(to.Len()) {
		t.Fatalf("%s as %s: %d of %d bytes, %v", path, format, n, to.Len(), err)
	}
	return unpack(t, format, to.Bytes())
}

func sendStream(a *Answer, w io.Writer) (int64, error) {
	var body Body
	body.Take(a)
	defer body.Close()
	_, err := body.WriteTo(w)
	return body.Sent(), err
}

func unpack(t *testing.T, format string, b []byte) map[string]string {
	t.Helper()
	files := map[string]string{}
	if format == "zip" {
		z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(r)
			if err != nil || f.Modified.IsZero() {
				t.Fatalf("%s: %v", f.Name, err)
			}
			files[f.Name] = string(content)
		}
		return files
	}
	z, err := zstd.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil || h.Uname != "" || h.Uid != 0 {
			t.Fatalf("%+v: %v", h, err)
		}
		files[h.Name] = string(content)
	}
}

func names(files map[string]string) string {
	return strings.Join(slices.Sorted(maps.Keys(files)), " ")
}

func TestArchive(t *testing.T) {
	s := serve(t, Options{Archive: plenty, List: true})
	for name, n := range map[string]int{"d/a.txt": 10, "d/empty": 0, "d/sub/b.bin": 300_000, "d/.hidden": 5, "d/sub/.git/config": 5, "d/i/index.html": 5, "with/index.html": 5, ".well-known/x": 1, ".env": 1} {
		s.write(t, name, pattern(n))
	}
	os.Mkdir(s.path("d/none"), 0o755)
	outside := t.TempDir()
	os.WriteFile(outside+"/secret", []byte("secret"), 0o644)
	os.Symlink(outside, s.path("d/outside"))
	os.Symlink(outside+"/secret", s.path("d/secret"))
	os.Symlink("nowhere", s.path("d/broken"))
	os.Symlink("a.txt", s.path("d/link"))
	os.Symlink("..", s.path("d/sub/up"))
	os.Symlink("../with", s.path("d/aside"))
	for _, format := range []string{"zip", "tar.zst"} {
		files := s.packed(t, "d/", format)
		if got, want := names(files), "d/ d/a.txt d/aside/ d/aside/index.html d/empty d/i/ d/i/index.html d/link d/none/ d/sub/ d/sub/b.bin"; got != want {
			t.Errorf("%s: %s, want %s", format, got, want)
		}
		for name, n := range map[string]int{"d/a.txt": 10, "d/link": 10, "d/sub/b.bin": 300_000, "d/empty": 0} {
			if files[name] != string(pattern(n)) {
				t.Errorf("%s: %s has %d bytes", format, name, len(files[name]))
			}
		}
	}
	if got := names(s.packed(t, "", "zip")); !strings.HasPrefix(got, "files/ files/.well-known/ files/.well-known/x files/d/ ") || strings.Contains(got, ".env") {
		t.Error(got)
	}
	for path, want := range map[string]int{
		"nope/?format=zip": 404, "d/a.txt/?format=zip": 404, "d?format=zip": 301, "d/outside/?format=zip": 404, "d/?format=rar": 200, "d/a.txt?format=zip": 200, "with/?format=zip": 200,
	} {
		if a := s.ask(t, path); a.Status != want || a.Stream != nil {
			t.Errorf("%s: %d, want %d; %v", path, a.Status, want, a.Stream)
		}
	}
	a := s.ask(t, "d/?format=tar.zst")
	if got := a.field("Content-Disposition"); got != `attachment; filename="d.tar.zst"` || string(a.ContentType) != "application/zstd" || a.field("Cache-Control") != "no-cache" || a.field("ETag") != "" {
		t.Error(got, a.Fields)
	}
	if page := s.ask(t, "d/"); !strings.Contains(string(page.Text), `<a href="?format=zip" download>zip</a>, <a href="?format=tar.zst" download>`) {
		t.Errorf("%s", page.Text)
	}
	if page := serve(t, Options{List: true}).ask(t, "?format=zip"); page.Stream != nil || strings.Contains(string(page.Text), "format=zip") {
		t.Error("it is off")
	}
}

// Who may not have a file by itself does not get it in an archive.
func TestArchiveOfWhatMayBeHad(t *testing.T) {
	s := serve(t, Options{Archive: plenty, Found: []Step{refusing{"/secret/", 403}, refusing{"/a/b", 403}, refusing{"/p", 401}}})
	for _, name := range []string{"secret/x", "secret/deep/y", "a/a", "a/b", "c", "p1", "p2", "p3", "p4"} {
		s.write(t, name, []byte(name))
	}
	if got := names(s.packed(t, "", "zip")); got != "files/ files/a/ files/a/a files/c" {
		t.Error(got)
	}
	if a := s.ask(t, "?format=zip", "Authorization", "Basic eDp5"); a.Status != 200 {
		t.Errorf("%d for four wrong passwords", a.Status)
	}
	s.write(t, "p5", nil)
	if a := s.ask(t, "?format=zip", "Authorization", "Basic eDp5"); a.Status != 403 {
		t.Errorf("%d for five wrong passwords", a.Status)
	}
}

// A rule that lets in who asks for the folder does not let in to what is in it: each file
// is as if it were asked for by itself.
func TestArchiveAsksForEachByItself(t *testing.T) {
	s := serve(t, Options{Archive: plenty, Found: []Step{inner{}}})
	for _, name := range []string{"d/a", "d/inner/x", "d/inner/deep/y"} {
		s.write(t, name, []byte(name))
	}
	if got := names(s.packed(t, "d/", "zip")); got != "d/ d/a" {
		t.Error(got)
	}
}

// inner refuses what is inner, unless something else is asked for.
type inner struct{}

func (inner) Decide(r Request, a *Answer) bool {
	if !strings.HasPrefix(string(r.Path()), "/d/inner/") || !strings.HasPrefix(string(a.path), "/d/inner/") {
		return false
	}
	a.Fail(403)
	return true
}

type refusing struct {
	prefix string
	status int
}

func (f refusing) Decide(_ Request, a *Answer) bool {
	if !strings.HasPrefix(string(a.path), f.prefix) {
		return false
	}
	a.Fail(f.status)
	return true
}

func TestArchiveIsBounded(t *testing.T) {
	var said []string
	logf := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	s := serve(t, Options{Archive: 1 << 20, Logf: logf})
	s.write(t, "ok/a", pattern(1<<20))
	s.write(t, "large/a", pattern(1<<20))
	s.write(t, "large/b", pattern(1))
	for i := range mostArchived {
		s.write(t, fmt.Sprintf("many/%d/%d", i%2, i), nil)
	}
	deep := "deep/" + strings.Repeat("x/", deepest)
	s.write(t, deep+"a", nil)
	for path, want := range map[string]int{"ok/": 200, "large/": 403, "many/": 403, "many/0/": 200, "deep/": 403, "deep/x/": 200} {
		if a := s.ask(t, path+"?format=zip"); a.Status != want {
			t.Errorf("%s: %d, want %d", path, a.Status, want)
		} else {
			a.Close()
		}
	}
	if all := strings.Join(said, "\n"); len(said) != 3 || !strings.Contains(all, "of more than 1 MiB") || !strings.Contains(all, "more than 10000 files") || !strings.Contains(all, "folders deep") {
		t.Errorf("it said %s", all)
	}
	for range mostArchiving {
		if a := s.ask(t, "ok/?format=zip"); a.Status != 200 {
			t.Fatal(a.Status)
		}
	}
	busy := s.ask(t, "ok/?format=zip")
	if busy.Status != 503 || busy.field("Retry-After") == "" {
		t.Errorf("one more than may be: %d", busy.Status)
	}
}

// changing does something when the first bytes come.
type changing struct {
	bytes.Buffer
	change func()
}

func (c *changing) Write(p []byte) (int, error) {
	if c.change != nil {
		c.change()
		c.change = nil
	}
	return c.Buffer.Write(p)
}

// A folder that changes while it is sent: what is in the archive are whole files, or it
// stays incomplete. Files come in no order that is known: all of them change.
func TestArchiveOfAFolderThatChanges(t *testing.T) {
	content := make([]byte, 400_000) // which no format makes smaller
	rand.NewChaCha8([32]byte{}).Read(content)
	for _, tt := range []struct {
		name   string
		change func(name string)
		breaks bool
	}{
		{"removed", func(name string) { os.Remove(name) }, false},
		{"replaced", func(name string) {
			os.WriteFile(name+".new", []byte("new"), 0o644)
			os.Rename(name+".new", name)
		}, false},
		{"appended to", func(name string) {
			f, _ := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
			f.WriteString("more")
			f.Close()
		}, false},
		{"cut off", func(name string) { os.Truncate(name, 10) }, true},
		{"written over", func(name string) {
			f, _ := os.OpenFile(name, os.O_WRONLY, 0)
			f.WriteString("other")
			f.Close()
			os.Chtimes(name, time.Time{}, time.Unix(9, 0))
		}, true},
	} {
		for _, format := range []string{"zip", "tar.zst"} {
			t.Run(tt.name+" "+format, func(t *testing.T) {
				s := serve(t, Options{Archive: plenty})
				for _, name := range []string{"a", "b", "c"} {
					s.write(t, "d/"+name, content)
				}
				a := s.ask(t, "d/?format="+format)
				if a.Status != http.StatusOK {
					t.Fatal(a.Status)
				}
				to := changing{change: func() {
					for _, name := range []string{"a", "b", "c"} {
						tt.change(s.path("d/" + name))
					}
				}}
				_, err := sendStream(a, &to)
				if tt.breaks {
					if !errors.Is(err, errChanged) {
						t.Errorf("it ends with %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				for name, got := range unpack(t, format, to.Bytes()) {
					if !strings.HasSuffix(name, "/") && got != string(content) && got != "new" && got != string(content)+"more" {
						t.Errorf("%s has %d bytes", name, len(got))
					}
				}
			})
		}
	}
}

func TestDisposition(t *testing.T) {
	for name, want := range map[string]string{
		"a b.zip":   `attachment; filename="a b.zip"`,
		`x";y.zip`:  `attachment; filename="x_;y.zip"; filename*=UTF-8''x%22%3By.zip`,
		"ä\r\n.zip": `attachment; filename="___.zip"; filename*=UTF-8''%C3%A4%0D%0A.zip`,
		"50% x.zip": `attachment; filename="50_ x.zip"; filename*=UTF-8''50%25%20x.zip`,
		"a*'().zip": `attachment; filename="a*'().zip"`,
	} {
		if got := string(disposition(name)); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

// Names cannot lead out of where an archive is unpacked.
func TestPlainName(t *testing.T) {
	for name, want := range map[string]string{`..\..\x`: ".._.._x", "C:x": "C_x", "a\nb": "a_b", "ü": "ü", "a\u009b31m": "a_31m", "a\u202etxt": "a_txt", "a\xffb": "a\ufffdb"} {
		if got := plainName(name); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}
