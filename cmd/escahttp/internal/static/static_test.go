//go:build unix

package static

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// asked is a Request.
type asked struct {
	method, path string
	header       map[string]string
}

func (r asked) Method() []byte            { return []byte(r.method) }
func (r asked) Path() []byte              { return []byte(r.path) }
func (r asked) Query() []byte             { return nil }
func (r asked) Host() []byte              { return nil }
func (r asked) Client() netip.Addr        { return netip.Addr{} }
func (r asked) Secure() bool              { return false }
func (r asked) Header(name string) []byte { return []byte(r.header[name]) }
func (r asked) Time() time.Time           { return time.Now() }
func (r asked) Headers(name string) [][]byte {
	if v, ok := r.header[name]; ok {
		return [][]byte{[]byte(v)}
	}
	return nil
}

// served is a directory and a Handler for it.
type served struct {
	dir string
	*Handler
}

func serve(t *testing.T, o Options) *served {
	t.Helper()
	dir := t.TempDir()
	h, err := New(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return &served{dir, h}
}

func (s *served) path(name string) string { return filepath.Join(s.dir, name) }

func (s *served) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path(name), content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// ask decides a GET; header is pairs. The answer is closed at the test's end.
func (s *served) ask(t *testing.T, path string, header ...string) *Answer {
	t.Helper()
	r := asked{"GET", "/" + path, map[string]string{}}
	for i := 0; i < len(header); i += 2 {
		r.header[header[i]] = header[i+1]
	}
	a := new(Answer)
	s.Decide(r, a)
	t.Cleanup(a.Close)
	return a
}

func (a *Answer) field(name string) string {
	for _, f := range a.Fields {
		if string(f.Name) == name {
			return string(f.Value)
		}
	}
	return ""
}

// body sends the body of a to memory.
func (a *Answer) body() ([]byte, error) {
	if b, ok := a.Bytes(); ok {
		return b, nil
	}
	var body Body
	var to bytes.Buffer
	a.Version.hold()
	body.Take(&Answer{Version: a.Version, Parts: a.Parts})
	defer body.Close()
	_, err := body.WriteTo(&to)
	return to.Bytes(), err
}

// get returns the whole body, and the tag.
func (s *served) get(t *testing.T, path string) (body []byte, tag string) {
	t.Helper()
	a := s.ask(t, path)
	b, err := a.body()
	if a.Status != 200 || err != nil {
		t.Fatalf("%s: %d, %v", path, a.Status, err)
	}
	return b, a.field("ETag")
}

// settled waits until the file at path is old enough to be kept, and returns
// nothing of it: nobody holds it after that.
func (s *served) settled(t *testing.T, path string) {
	t.Helper()
	eventually(t, path+" has settled", func() bool {
		var a Answer
		defer a.Close()
		s.Decide(asked{"GET", "/" + path, nil}, &a)
		return a.Version != nil && !a.Version.once
	})
}

// eventually waits until ok, looking again and again.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come about that %s", what)
		}
	}
}

// pattern is n bytes of which no two stretches are alike. It is not to be changed.
func pattern(n int) []byte { return longPattern()[:n:n] }

var longPattern = sync.OnceValue(func() []byte {
	const most = 4 << 20
	b := make([]byte, 0, most+8)
	for i := 0; len(b) < most; i++ {
		b = append(strconv.AppendInt(b, int64(i)+1<<32, 16), ' ')
	}
	return b
})

// openHere returns how many descriptors of the process lead beneath dir, and
// what they lead to.
func openHere(t *testing.T, dir string) (names []string) {
	t.Helper()
	links, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("telling what descriptors lead to needs Linux's /proc")
	}
	for _, l := range links {
		if to, err := os.Readlink("/proc/self/fd/" + l.Name()); err == nil && (to == dir || len(to) > len(dir) && to[:len(dir)+1] == dir+"/") {
			names = append(names, to)
		}
	}
	return names
}
