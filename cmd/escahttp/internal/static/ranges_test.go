package static

import "testing"

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
