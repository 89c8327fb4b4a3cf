//go:build unix

package static

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The root is a name: what builds and deployments do to it is seen.
func TestRootIsLookedUpAgain(t *testing.T) {
	for _, revalidate := range []time.Duration{-1, 20 * time.Millisecond} {
		for _, tt := range []struct {
			name     string
			set, act func(dir string)
		}{
			{"rebuilt", func(dir string) { put(dir, "i", "old") }, func(dir string) { os.RemoveAll(dir); put(dir, "i", "new") }},
			{"moved into its place", func(dir string) { put(dir, "i", "old") }, func(dir string) {
				put(dir+".new", "i", "new")
				os.Rename(dir, dir+".old")
				os.Rename(dir+".new", dir)
			}},
			{"link repointed", func(dir string) {
				put(dir+"1", "i", "old")
				put(dir+"2", "i", "new")
				os.Symlink(dir+"1", dir)
			}, func(dir string) { os.Symlink(dir+"2", dir+".t"); os.Rename(dir+".t", dir) }},
			{"link above repointed", func(dir string) {
				put(dir+"1/site", "i", "old")
				put(dir+"2/site", "i", "new")
				os.Symlink(dir+"1", dir)
			}, func(dir string) { os.Symlink(dir+"2", dir+".t"); os.Rename(dir+".t", dir) }},
		} {
			dir := t.TempDir() + "/root"
			tt.set(dir)
			root := dir
			if strings.Contains(tt.name, "above") {
				root += "/site"
			}
			h, err := New(root, Options{Revalidate: revalidate})
			if err != nil {
				t.Fatal(err)
			}
			s := &served{root, h}
			if b, _ := s.get(t, "i"); string(b) != "old" {
				t.Fatalf("%s: before: %q", tt.name, b)
			}
			tt.act(dir)
			eventually(t, tt.name+" is seen", func() bool { b, _ := s.ask(t, "i").body(); return string(b) == "new" })
			// What was not there before is found at once, whenever the name was looked at.
			put(root, "fresh", "new")
			if b, _ := s.get(t, "fresh"); string(b) != "new" {
				t.Errorf("%s: a new file: %q", tt.name, b)
			}
			h.Close()
			if open := openHere(t, dir); len(open) != 0 {
				t.Errorf("%s: still open: %q", tt.name, open)
			}
		}
	}
}

func put(dir, name, content string) {
	os.MkdirAll(dir, 0o755)
	if err := os.WriteFile(dir+"/"+name, []byte(content), 0o644); err != nil {
		panic(err)
	}
}

// A new file in a new root is found by its first request, though the name of the
// root is not due to be looked at.
func TestWhatIsNotThereIsLookedForInTheNewRoot(t *testing.T) {
	s := serve(t, Options{Revalidate: time.Hour})
	if a := s.ask(t, "i"); a.Status != 404 {
		t.Fatal(a.Status)
	}
	os.RemoveAll(s.dir)
	put(s.dir, "i", "new")
	if b, _ := s.get(t, "i"); string(b) != "new" {
		t.Errorf("%q", b)
	}
}

func TestRootThatIsGone(t *testing.T) {
	var mu sync.Mutex
	said := ""
	s := serve(t, Options{Revalidate: -1, Logf: func(f string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		said += fmt.Sprintf(f, args...) + "\n"
	}})
	s.write(t, "i", []byte("old"))
	s.get(t, "i")
	os.RemoveAll(s.dir)
	for range 3 {
		if a := s.ask(t, "i"); a.Status != 404 {
			t.Errorf("without a root: %d", a.Status)
		}
	}
	put(s.dir, "i", "new")
	if b, _ := s.get(t, "i"); string(b) != "new" {
		t.Errorf("when it is back: %q", b)
	}
	mu.Lock()
	defer mu.Unlock()
	if strings.Count(said, "nothing is served") != 1 || strings.Count(said, "\n") != 2 {
		t.Errorf("it said %q", said)
	}
}

// What was removed or replaced is let go of, and so is what nobody asks for, the
// root included.
func TestLetsGoWithoutBeingAsked(t *testing.T) {
	for _, tt := range []struct {
		name string
		idle time.Duration
		do   func(s *served)
		left int // the root
	}{
		{"removed", time.Second, func(s *served) { os.Remove(s.path("f")) }, 1},
		{"replaced", time.Second, func(s *served) { os.Rename(s.path("g"), s.path("f")) }, 1},
		{"left alone", 50 * time.Millisecond, func(s *served) {}, 0},
	} {
		s := serve(t, Options{Idle: tt.idle, Revalidate: time.Hour})
		big := pattern(2 << 20)
		s.write(t, "f", big)
		s.write(t, "g", big)
		s.settled(t, "f")
		if !slices.Contains(openHere(t, s.dir), s.path("f")) {
			t.Fatalf("%s: it is not open: %q", tt.name, openHere(t, s.dir))
		}
		tt.do(s)
		eventually(t, tt.name+": the file is let go of", func() bool { return len(openHere(t, s.dir)) <= tt.left })
		if tt.left == 0 {
			if b, _ := s.get(t, "g"); len(b) != len(big) {
				t.Errorf("and is opened again: %d bytes", len(b))
			}
		}
	}
}
