//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"testing"
)

func TestCompression(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	text := bytes.Repeat([]byte("all work and no play makes it compress well\n"), 3000)
	put(t, d+"/fly.txt", text)
	put(t, d+"/beside.txt", text)
	put(t, d+"/alone.txt", text)
	for _, name := range []string{"beside.txt", "alone.txt"} {
		var to bytes.Buffer
		w := gzip.NewWriter(&to)
		w.Write(text)
		w.Close()
		put(t, d+"/"+name+".gz", to.Bytes())
	}
	if err := os.Remove(d + "/alone.txt"); err != nil {
		t.Fatal(err)
	}
	p := launch(t, nil, nil, d)
	off := launch(t, nil, nil, "--compress=off", "--no-precompressed", d)
	for _, coding := range []string{"br", "zstd", "gzip"} {
		accept := "Accept-Encoding: " + coding
		eventually(t, "the file has settled", func() bool {
			r, _ := p.curl(t, "/fly.txt", "-H", accept)
			return r.Header.Get("Content-Encoding") == coding
		})
		r, b := p.curl(t, "/fly.txt", "-H", accept)
		if len(b) >= len(text)/2 || r.ContentLength != int64(len(b)) || r.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %d bytes, %v", coding, len(b), r.Header)
		}
		if got := p.decodes(t, "/fly.txt", "-H", accept); !bytes.Equal(got, text) {
			t.Errorf("%s: curl has decoded %d bytes, want %d", coding, len(got), len(text))
		}
		head, _ := p.curl(t, "/fly.txt", "-I", "-H", accept)
		if head.ContentLength != r.ContentLength || head.Header.Get("ETag") != r.Header.Get("ETag") || head.Header.Get("Content-Encoding") != coding {
			t.Errorf("HEAD, %s: %v, GET %v", coding, head.Header, r.Header)
		}
		if not, b := p.curl(t, "/fly.txt", "-H", accept, "-H", "If-None-Match: "+r.Header.Get("ETag")); not.StatusCode != 304 || len(b) > 0 || not.Header.Get("Vary") == "" {
			t.Errorf("%s: %s %v", coding, not.Status, not.Header)
		}
		if r, b := off.curl(t, "/fly.txt", "-H", accept); r.Header.Get("Content-Encoding") != "" || r.Header.Get("Vary") != "" || !bytes.Equal(b, text) {
			t.Errorf("off: %v", r.Header)
		}
	}
	for _, path := range []string{"/beside.txt", "/alone.txt"} {
		if r, _ := p.curl(t, path, "-H", "Accept-Encoding: br, gzip"); r.Header.Get("Content-Encoding") != "gzip" || r.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %v", path, r.Header)
		}
		if got := p.decodes(t, path); !bytes.Equal(got, text) {
			t.Errorf("%s: curl has decoded %d bytes", path, len(got))
		}
		if _, b := p.curl(t, path); !bytes.Equal(b, text) {
			t.Errorf("%s, for a client that accepts nothing: %d bytes", path, len(b))
		}
	}
	if r, b := p.curl(t, "/fly.txt", "-r", "9-12", "-H", "Accept-Encoding: br"); r.StatusCode != 206 || string(b) != "and " {
		t.Errorf("a range: %s %q", r.Status, b)
	}
	if r, _ := off.curl(t, "/alone.txt", "-H", "Accept-Encoding: gzip"); r.StatusCode != 404 {
		t.Errorf("off, only coded: %s", r.Status)
	}
}
