//go:build unix

package http1

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

func TestFilesOfAllSizes(t *testing.T) {
	onBoth(t, static.Options{}, func(t *testing.T, s *site) {
		for _, n := range []int{0, 1, 1024, 8<<10 - 1, 8 << 10, 8<<10 + 1, 64 << 10, 64<<10 + 1, 200 << 10, 3 << 20} {
			name := fmt.Sprintf("f%d.bin", n)
			want := pattern(n)
			s.write(t, name, want)
			s.settled(t, "/"+name)
			for range 3 { // read in, then twice from the cache
				resp, b := s.do(t, "GET", "/"+name)
				if resp.StatusCode != 200 || !bytes.Equal(b, want) || resp.ContentLength != int64(n) {
					t.Fatalf("%s: %s, %d bytes", name, resp.Status, len(b))
				}
				for _, h := range []string{"ETag", "Last-Modified", "Accept-Ranges"} {
					if resp.Header.Get(h) == "" {
						t.Errorf("%s: no %s", name, h)
					}
				}
				head, b := s.do(t, "HEAD", "/"+name)
				if head.StatusCode != 200 || len(b) != 0 || head.ContentLength != int64(n) || head.Header.Get("ETag") != resp.Header.Get("ETag") {
					t.Fatalf("HEAD %s: %s, length %d, %q", name, head.Status, head.ContentLength, b)
				}
			}
		}
	})
}

func TestAnswers(t *testing.T) {
	onBoth(t, static.Options{}, func(t *testing.T, s *site) {
		for _, name := range []string{"index.html", "a.css", "dir/index.html", "dir/x y.txt", "empty/none.txt", "noext", ".hidden", "odd/index.html/x"} {
			s.write(t, name, []byte(name))
		}
		big := pattern(100_000)
		s.write(t, "big.bin", big)
		etag := func(path string) string { r, _ := s.do(t, "HEAD", path); return r.Header.Get("ETag") }
		modified := func(path string) string { r, _ := s.do(t, "HEAD", path); return r.Header.Get("Last-Modified") }
		const past, future = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
		for _, tt := range []struct {
			name, method, path string
			header             []string
			status             int
			body               string // "*": any
			want               []string
		}{
			{"index", "GET", "/", nil, 200, "index.html", []string{"Content-Type", "text/html; charset=utf-8"}},
			{"type", "GET", "/a.css", nil, 200, "a.css", []string{"Content-Type", "text/css; charset=utf-8"}},
			{"unknown type", "GET", "/noext", nil, 200, "noext", []string{"Content-Type", "application/octet-stream"}},
			{"escaped", "GET", "/dir/x%20y.txt", nil, 200, "dir/x y.txt", nil},
			{"query", "GET", "/a.css?v=1", nil, 200, "a.css", nil},
			{"directory", "GET", "/dir", nil, 301, "*", []string{"Location", "/dir/"}},
			{"directory, query kept", "GET", "/dir?a=b", nil, 301, "*", []string{"Location", "/dir/?a=b"}},
			{"its index", "GET", "/dir/", nil, 200, "dir/index.html", nil},
			{"no index", "GET", "/empty/", nil, 404, "*", nil},
			{"index is a directory", "GET", "/odd/", nil, 404, "*", nil},
			{"absent", "GET", "/nope", nil, 404, "*", nil},
			{"file as directory", "GET", "/a.css/", nil, 404, "*", nil},
			{"file as directory, deeper", "GET", "/a.css/b", nil, 404, "*", nil},
			{"post", "POST", "/a.css", nil, 405, "*", []string{"Allow", "GET, HEAD"}},
			{"delete", "DELETE", "/", nil, 405, "*", []string{"Allow", "GET, HEAD"}},

			{"none match", "GET", "/a.css", []string{"If-None-Match", etag("/a.css")}, 304, "", []string{"ETag", etag("/a.css")}},
			{"none match, list", "GET", "/a.css", []string{"If-None-Match", `"x", W/` + etag("/a.css")}, 304, "", nil},
			{"none match, star", "GET", "/a.css", []string{"If-None-Match", "*"}, 304, "", nil},
			{"none match, star in a second line", "GET", "/a.css", []string{"If-None-Match", `"x"`, "If-None-Match", "*"}, 304, "", nil},
			{"match, in a second line", "GET", "/a.css", []string{"If-Match", `"x"`, "If-Match", etag("/a.css")}, 200, "a.css", nil},
			{"none match, other", "GET", "/a.css", []string{"If-None-Match", `"x"`, "If-Modified-Since", future}, 200, "a.css", nil},
			{"not modified", "GET", "/a.css", []string{"If-Modified-Since", modified("/a.css")}, 304, "", nil},
			{"modified", "GET", "/a.css", []string{"If-Modified-Since", past}, 200, "a.css", nil},
			{"nonsense date", "GET", "/a.css", []string{"If-Modified-Since", "yesterday"}, 200, "a.css", nil},
			{"match", "GET", "/a.css", []string{"If-Match", etag("/a.css")}, 200, "a.css", nil},
			{"match, weak does not", "GET", "/a.css", []string{"If-Match", "W/" + etag("/a.css")}, 412, "*", nil},
			{"match, other", "GET", "/a.css", []string{"If-Match", `"x"`}, 412, "*", []string{"ETag", "", "Last-Modified", ""}},
			{"unmodified since", "GET", "/a.css", []string{"If-Unmodified-Since", past}, 412, "*", nil},
			{"unmodified since, is", "GET", "/a.css", []string{"If-Unmodified-Since", future}, 200, "a.css", nil},

			{"range", "GET", "/big.bin", []string{"Range", "bytes=10-19"}, 206, string(big[10:20]), []string{"Content-Range", "bytes 10-19/100000"}},
			{"range, small", "GET", "/a.css", []string{"Range", "bytes=1-2"}, 206, ".c", []string{"Content-Range", "bytes 1-2/5"}},
			{"range, open", "GET", "/big.bin", []string{"Range", "bytes=99990-"}, 206, string(big[99990:]), nil},
			{"range, last", "GET", "/big.bin", []string{"Range", "bytes=-5"}, 206, string(big[99995:]), nil},
			{"range, last of more", "GET", "/a.css", []string{"Range", "bytes=-500"}, 206, "a.css", nil},
			{"range, beyond", "GET", "/a.css", []string{"Range", "bytes=3-999999999999999999999"}, 206, "ss", []string{"Content-Range", "bytes 3-4/5"}},
			{"range, none", "GET", "/a.css", []string{"Range", "bytes=5-"}, 416, "*", []string{"Content-Range", "bytes */5", "ETag", "", "Last-Modified", ""}},
			{"range, empty list", "GET", "/a.css", []string{"Range", "bytes="}, 200, "a.css", nil},
			{"range, empty elements", "GET", "/a.css", []string{"Range", "bytes=, ,"}, 200, "a.css", nil},
			{"range, nothing", "GET", "/a.css", []string{"Range", "bytes=-0"}, 416, "*", []string{"Content-Range", "bytes */5"}},
			{"range, reversed", "GET", "/a.css", []string{"Range", "bytes=3-1"}, 200, "a.css", nil},
			{"range, nonsense", "GET", "/a.css", []string{"Range", "bytes=a-b"}, 200, "a.css", nil},
			{"range, other unit", "GET", "/a.css", []string{"Range", "lines=1-2"}, 200, "a.css", nil},
			{"range, too many", "GET", "/big.bin", []string{"Range", "bytes=" + strings.Repeat("0-0,", 40) + "0-0"}, 200, string(big), nil},
			{"range, overlapping", "GET", "/a.css", []string{"Range", "bytes=0-,0-"}, 200, "a.css", nil},
			{"range on HEAD", "HEAD", "/a.css", []string{"Range", "bytes=1-2"}, 200, "", nil},
			{"if-range", "GET", "/a.css", []string{"Range", "bytes=0-0", "If-Range", etag("/a.css")}, 206, "a", nil},
			{"if-range, other", "GET", "/a.css", []string{"Range", "bytes=0-0", "If-Range", `"x"`}, 200, "a.css", nil},
			{"if-range, weak", "GET", "/a.css", []string{"Range", "bytes=0-0", "If-Range", "W/" + etag("/a.css")}, 200, "a.css", nil},
			{"if-range, date", "GET", "/a.css", []string{"Range", "bytes=0-0", "If-Range", modified("/a.css")}, 200, "a.css", nil},
			{"if-range, later date", "GET", "/a.css", []string{"Range", "bytes=0-0", "If-Range", future}, 200, "a.css", nil},
		} {
			resp, b := s.do(t, tt.method, tt.path, tt.header...)
			if resp.StatusCode != tt.status || tt.body != "*" && string(b) != tt.body {
				t.Errorf("%s: %s %.60q, want %d %.60q", tt.name, resp.Status, b, tt.status, tt.body)
			}
			for i := 0; i < len(tt.want); i += 2 {
				if got := resp.Header.Get(tt.want[i]); got != tt.want[i+1] {
					t.Errorf("%s: %s: %q, want %q", tt.name, tt.want[i], got, tt.want[i+1])
				}
			}
		}
	})
}

func TestSeveralRanges(t *testing.T) {
	onBoth(t, static.Options{}, func(t *testing.T, s *site) {
		for _, size := range []int{1000, 200_000} {
			content := pattern(size)
			s.write(t, "f.bin", content)
			resp, b := s.do(t, "GET", "/f.bin", "Range", "bytes=0-9, 500-599 ,-1")
			_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
			if resp.StatusCode != 206 || err != nil || resp.ContentLength != int64(len(b)) {
				t.Fatalf("%s %v %v", resp.Status, resp.Header, err)
			}
			r := multipart.NewReader(bytes.NewReader(b), params["boundary"])
			for _, want := range []static.Span{{From: 0, To: 10}, {From: 500, To: 600}, {From: int64(size) - 1, To: int64(size)}} {
				p, err := r.NextPart()
				if err != nil {
					t.Fatal(err)
				}
				got, _ := io.ReadAll(p)
				cr := fmt.Sprintf("bytes %d-%d/%d", want.From, want.To-1, size)
				if !bytes.Equal(got, content[want.From:want.To]) || p.Header.Get("Content-Range") != cr {
					t.Errorf("%v: %q %q", want, p.Header, got)
				}
			}
			if _, err := r.NextPart(); err != io.EOF {
				t.Errorf("after the last part: %v", err)
			}
			s.h.Forget()
		}
	})
}
