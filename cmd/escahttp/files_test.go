//go:build linux

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The directory is replaced, and the link to it repointed, while it is served.
func TestRootIsReplaced(t *testing.T) {
	d := t.TempDir()
	put(t, d+"/dist/i", []byte("old"))
	put(t, d+"/r1/i", []byte("old"))
	put(t, d+"/r2/i", []byte("new"))
	os.Symlink("r1", d+"/current")
	dist, current := launch(t, nil, nil, d+"/dist"), launch(t, nil, nil, d+"/current")
	for _, p := range []*process{dist, current} {
		if _, b := p.get(t, "/i"); string(b) != "old" {
			t.Fatalf("%q", b)
		}
	}
	os.RemoveAll(d + "/dist")
	put(t, d+"/dist/i", []byte("new"))
	os.Symlink("r2", d+"/t")
	os.Rename(d+"/t", d+"/current")
	for _, p := range []*process{dist, current} {
		eventually(t, "the new directory is served", func() bool { _, b := p.get(t, "/i"); return string(b) == "new" })
	}
}

// A file that is written over in place: each answer is one version, whole, and has
// its tag.
func TestWrittenOverInPlace(t *testing.T) {
	d := t.TempDir()
	long := time.Now().Add(-30 * 24 * time.Hour)
	put(t, d+"/app.js", repeat('A', 10_000))
	os.Chtimes(d+"/app.js", long, long)
	p := launch(t, nil, nil, d)
	tags := map[string][]byte{}
	is := func(want []byte) bool {
		t.Helper()
		resp, b := p.get(t, "/app.js")
		tag := resp.Header.Get("ETag") // none: it was written just now
		if was, ok := tags[tag]; ok && tag != "" && !bytes.Equal(was, b) || resp.ContentLength >= 0 && resp.ContentLength != int64(len(b)) || len(bytes.TrimLeft(b, string(b[:1]))) > 0 {
			t.Fatalf("%s is %d bytes that begin with %.3q, and was %d", tag, len(b), b, len(was))
		}
		tags[tag] = b
		return bytes.Equal(b, want)
	}
	for range 3 {
		is(nil)
	}
	for _, fresh := range [][]byte{repeat('B', 20_000), repeat('C', 9000), repeat('D', 2<<20), repeat('E', 2<<20), repeat('F', 100)} {
		put(t, d+"/app.js", fresh)
		eventually(t, "the new version is served", func() bool { return is(fresh) })
	}
}

// A file is written over when all of it is on its way to a client that has not read
// it yet: what is sent under a tag does not change any more.
func TestWrittenOverOnItsWay(t *testing.T) {
	d, log := t.TempDir(), filepath.Join(t.TempDir(), "log")
	p := launch(t, nil, nil, "--access-log="+log, d)
	n := 0
	for _, size := range []int{20_000, 100_000, 1 << 20} {
		put(t, d+"/f", repeat('A', size))
		tag := ""
		eventually(t, "it is told from the one before", func() bool {
			n++
			resp, b := p.get(t, "/f")
			tag = resp.Header.Get("ETag")
			return len(b) == size && tag != ""
		})
		for range 3 { // the file itself, and copies
			c := connect(t, p.addr)
			io.WriteString(c, "GET /f HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
			n++
			eventually(t, "all is sent", func() bool { b, _ := os.ReadFile(log); return bytes.Count(b, []byte{'\n'}) == n })
			f, err := os.OpenFile(d+"/f", os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			f.Write(repeat('B', size))
			f.Close()
			resp, err := http.ReadResponse(c.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			if len(bytes.TrimLeft(b, string(b[:1]))) > 0 || err != nil {
				t.Errorf("%d bytes: it begins with %.1q, and only %d are that (%v)", len(b), b, bytes.Count(b, b[:1]), err)
			} else if resp.Header.Get("ETag") == tag && b[0] != 'A' {
				t.Errorf("%d bytes: %.1q is sent under the tag of A", len(b), b)
			}
			put(t, d+"/f", repeat('A', size))
		}
	}
}

// All times of modification are the same, as reproducible builds have it.
func TestOneTimeForAll(t *testing.T) {
	d := t.TempDir()
	build := func(content string) {
		os.Remove(d + "/v")
		put(t, d+"/v", []byte(content))
		os.Chtimes(d+"/v", time.Unix(1, 0), time.Unix(1, 0))
	}
	build("v1")
	p := launch(t, nil, nil, d)
	before, b := p.get(t, "/v")
	if string(b) != "v1" {
		t.Fatalf("%q", b)
	}
	build("v2")
	eventually(t, "v2 is served", func() bool {
		_, b := p.get(t, "/v", "If-None-Match", before.Header.Get("ETag"))
		return string(b) == "v2"
	})
}

func TestLinksWithinTheRoot(t *testing.T) {
	d := t.TempDir()
	put(t, d+"/a", []byte("hi"))
	os.Symlink("a", d+"/rel")
	os.Symlink(d+"/a", d+"/abs")
	os.Symlink("/etc/passwd", d+"/out")
	p := launch(t, nil, nil, d)
	for path, status := range map[string]int{"/rel": 200, "/abs": 200, "/out": 404} {
		if resp, b := p.get(t, path); resp.StatusCode != status || status == 200 && string(b) != "hi" {
			t.Errorf("%s: %s %q", path, resp.Status, b)
		}
	}
}

// What was removed is not kept open, though nobody asks for it again.
func TestRemovedFilesAreLetGoOf(t *testing.T) {
	d := t.TempDir()
	put(t, d+"/v", repeat('v', 30_000_000))
	put(t, d+"/w", repeat('w', 100_000))
	p := launch(t, nil, nil, d)
	for range 3 {
		p.get(t, "/v")
		p.get(t, "/w")
	}
	if len(p.opens(d)) == 0 {
		t.Fatal("nothing is open of what was just sent")
	}
	os.Remove(d + "/v")
	os.Rename(d+"/w", d+"/x")
	eventually(t, "it is let go of", func() bool { return !strings.Contains(strings.Join(p.opens(d), " "), "deleted") })
	eventually(t, "the root is let go of as well, and could be unmounted", func() bool { return len(p.opens(d)) == 0 })
	if _, b := p.get(t, "/x"); len(b) != 100_000 {
		t.Errorf("and then %d bytes", len(b))
	}
}

// Where there is no descriptor left, the answer is to come again.
func TestOutOfDescriptors(t *testing.T) {
	d := t.TempDir()
	put(t, d+"/small", []byte("small"))
	put(t, d+"/large", repeat('l', 2<<20))
	p := launch(t, nil, nil, "--loops=1", d)
	eventually(t, "it is in memory", func() bool {
		p.get(t, "/small")
		return !slices.Contains(p.opens(d), d+"/small") // as while it was written to just now
	})
	conns := make([]*client, 3)
	for i := range conns {
		conns[i] = connect(t, p.addr)
		conns[i].ask(t, "/small")
	}
	eventually(t, "all but the connections is closed", func() bool { return len(p.opens(d)) == 0 })
	limitTo(t, p, highest(t, p)+1)
	if resp, _ := conns[0].ask(t, "/large"); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
	if resp, b := conns[1].ask(t, "/small"); resp.StatusCode != 200 || string(b) != "small" {
		t.Errorf("what is in memory: %s %q", resp.Status, b)
	}
	limitTo(t, p, 1024)
	if resp, b := conns[2].ask(t, "/large"); resp.StatusCode != 200 || len(b) != 2<<20 {
		t.Errorf("when there are some again: %s, %d bytes", resp.Status, len(b))
	}
	if !strings.Contains(p.said(), "ulimit -n") {
		t.Errorf("it said %q", p.said())
	}
}

// SIGHUP has everything looked at again, at once.
func TestHangupLooksAgain(t *testing.T) {
	d := t.TempDir()
	put(t, d+"/f", []byte("old"))
	p := launch(t, nil, nil, "--revalidate=1h", d)
	tries := 1
	eventually(t, "it is in memory", func() bool {
		for range tries { // in the end it was left alone for long enough
			p.get(t, "/f")
		}
		tries = min(2*tries, 1000)
		put(t, d+"/f", []byte("new"))
		_, b := p.get(t, "/f")
		put(t, d+"/f", []byte("old"))
		return string(b) == "old"
	})
	put(t, d+"/f", []byte("new"))
	p.Process.Signal(syscall.SIGHUP)
	eventually(t, "the new one is served", func() bool { _, b := p.get(t, "/f"); return string(b) == "new" })
	eventually(t, "it says what it did", func() bool { return strings.Contains(p.said(), "reloaded: files are looked at anew\n") })
}

func TestETagFlag(t *testing.T) {
	d := t.TempDir()
	put(t, d+"/f", []byte("f"))
	put(t, d+"/g", []byte("g"))
	put(t, d+"/g.etag", []byte("from-the-build"))
	os.Chtimes(d+"/f", time.Unix(1, 0), time.Unix(1, 0))
	sum := sha256.Sum256([]byte("f"))
	content := `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	for how, want := range map[string]string{"content": content, "auto": content, "mtime": `"gjdgxs-1"`, "off": ""} {
		p := launch(t, nil, nil, "--etag="+how, filepath.Join(d))
		eventually(t, how+" gives "+want, func() bool { resp, _ := p.get(t, "/f"); return resp.Header.Get("ETag") == want })
		sidecar := `"from-the-build"`
		if how == "off" {
			sidecar = ""
		}
		if resp, _ := p.get(t, "/g"); resp.Header.Get("ETag") != sidecar {
			t.Errorf("%s: the sidecar gives %q", how, resp.Header.Get("ETag"))
		}
	}
}
