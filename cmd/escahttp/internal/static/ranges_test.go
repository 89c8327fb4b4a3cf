package static

import (
	"net/http"
	"os"
	"testing"
	"time"
)

func FuzzParseRanges(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=-5", "bytes=5-", "bytes=1-2,3-4", "bytes=9999999999999999999999-", "bytes=,", "x"} {
		f.Add([]byte(s), int64(100))
	}
	f.Fuzz(func(t *testing.T, header []byte, size int64) {
		if size < 0 {
			return
		}
		parts, _ := parseRanges(header, size)
		total := int64(0)
		for _, p := range parts {
			if p.From < 0 || p.From >= p.To || p.To > size {
				t.Fatalf("%q of %d: %v", header, size, p)
			}
			total += p.Len()
		}
		if total > size || len(parts) > maxRanges {
			t.Fatalf("%q of %d: %v", header, size, parts)
		}
	})
}

// Two versions with the same date, as when a file changes twice in a second or keeps its
// date, are not joined: a date in If-Range gets the whole of the new one.
func TestIfRangeWithADate(t *testing.T) {
	s := serve(t, Options{})
	when := time.Unix(1_700_000_000, 0)
	for _, content := range []string{"first", "other"} {
		s.write(t, "f", []byte(content))
		if err := os.Chtimes(s.path("f"), when, when); err != nil {
			t.Fatal(err)
		}
		body, tag := s.get(t, "f")
		if string(body) != content {
			t.Fatalf("%q, want %q", body, content)
		}
		if a := s.ask(t, "f", "Range", "bytes=3-", "If-Range", when.UTC().Format(http.TimeFormat)); a.Status != 200 {
			t.Errorf("%s, by its date: %d", content, a.Status)
		}
		if a := s.ask(t, "f", "Range", "bytes=3-", "If-Range", tag); a.Status != 206 {
			t.Errorf("%s, by its tag: %d", content, a.Status)
		}
	}
}
