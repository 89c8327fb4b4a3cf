package static

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Paths lead to the same, whether the kernel resolves them or walk does.
func TestLinks(t *testing.T) {
	outside := t.TempDir()
	put(outside, "secret", "secret")
	s := serve(t, Options{Revalidate: -1})
	s.write(t, "a", []byte("hi"))
	s.write(t, "sub/b", []byte("hi"))
	s.write(t, "sub/index.html", []byte("hi"))
	s.write(t, "sub/deep/er/c", []byte("hi"))
	alias := filepath.Join(t.TempDir(), "alias")
	for link, to := range map[string]string{
		"rel": "a", "abs": s.path("a"), "absdir": s.path("sub"), "sub/up": "../a", "sub/deep/up": "../../a", "sub/deep/er/abs": s.path("sub/b"),
		"chain": "abs", "alias": alias + "/a", "dots": s.path("sub/../a"), "self": s.dir, "slash": s.path("sub") + "/", "rel/../dir": "sub", "there": ".",
		"out": outside + "/secret", "outdir": outside, "outrel": "../" + filepath.Base(outside) + "/secret", "above": "..", "sub/above": "../..",
		"beside": s.dir + "-beside", "dangling": s.path("nothing"), "loop": "loop", "loop1": "loop2", "loop2": s.path("loop1"),
		"magic": "/proc/self/cwd", "etc": "/etc/passwd", "backin": "../" + filepath.Base(s.dir) + "/a",
	} {
		if err := os.Symlink(to, s.path(link)); err != nil && !strings.Contains(link, "..") {
			t.Fatal(err)
		}
	}
	put(s.dir+"-beside", "x", "secret")
	if err := os.Symlink(s.dir, alias); err != nil {
		t.Fatal(err)
	}
	for _, byWalk := range []bool{false, true} {
		for path, status := range map[string]int{
			"a": 200, "rel": 200, "abs": 200, "absdir/b": 200, "absdir/": 200, "absdir": 301, "sub/up": 200, "sub/deep/up": 200, "sub/deep/er/abs": 200,
			"absdir/deep/er/c": 200, "absdir/deep/up": 200, "chain": 200, "alias": 200, "dots": 200, "self/a": 200, "self/self/self/sub/b": 200,
			"slash/b": 200, "there/there/a": 200, "sub": 301, "sub/": 200,
			"out": 404, "outdir/secret": 404, "outdir": 404, "outrel": 404, "above/x": 404, "sub/above/x": 404, "beside/x": 404,
			"dangling": 404, "loop": 404, "loop1": 404, "magic/x": 404, "magic": 404, "etc": 404, "a/b": 404, "a/": 404, "nothing": 404, "sub/nothing": 404,
			"backin": 404, // it leads outside, though back in
		} {
			d, _, err := s.files.root.open(time.Now())
			if err != nil {
				t.Fatal(err)
			}
			d.byWalk = byWalk
			d.letGo()
			s.files.clear()
			a := s.ask(t, path)
			b, err := a.body()
			if a.Status != status || status == 200 && (string(b) != "hi" || err != nil) || strings.Contains(string(b), "secret") {
				t.Errorf("%s, by walk %v: %d %q %v, want %d", path, byWalk, a.Status, b, err, status)
			}
			var st stamp
			if err := d.look(path, &st); (err == nil) != (status != 404 && path != "a/") {
				t.Errorf("%s, by walk %v: a look says %v", path, byWalk, err)
			}
		}
	}
	for _, name := range openHere(t, s.dir) {
		if name != s.dir {
			t.Errorf("left open: %s", name)
		}
	}
}

// A link that is replaced all the time leads to the one or the other.
func TestLinksThatAreReplaced(t *testing.T) {
	s := serve(t, Options{Revalidate: -1})
	s.write(t, "1/f", []byte("1"))
	s.write(t, "2/f", []byte("2"))
	os.Symlink("1", s.path("now"))
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-quit:
				return
			default:
			}
			to := []string{"1", s.path("2"), "../" + filepath.Base(s.dir) + "/1", s.path("1"), "2"}[i%5]
			if i%5 == 2 {
				to = "./2"
			}
			os.Symlink(to, s.path("t"))
			os.Rename(s.path("t"), s.path("now"))
		}
	}()
	for range 3000 {
		r := asked{method: "GET", path: "/now/f"}
		var a Answer
		s.Decide(r, &a)
		b, err := a.body()
		if a.Status != 200 || err != nil || string(b) != "1" && string(b) != "2" {
			t.Errorf("%d %q %v", a.Status, b, err)
		}
		a.Close()
	}
	close(quit)
	<-done
}
