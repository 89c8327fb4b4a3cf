package static

import (
	"fmt"
	"strings"
	"testing"
)

func TestAcceptEncoding(t *testing.T) {
	const none = "br 0 zstd 0 gzip 0 identity 1"
	for _, tt := range []struct{ field, want string }{
		{"", none},
		{"gzip", "br 0 zstd 0 gzip 1000 identity 1"},
		{"GZip, BR", "br 1000 zstd 0 gzip 1000 identity 1"},
		{"x-gzip", "br 0 zstd 0 gzip 1000 identity 1"},
		{"gzip, deflate, br, zstd", "br 1000 zstd 1000 gzip 1000 identity 1"},
		{"gzip;q=0.5,br;q=0.25 , zstd ; q=1.000", "br 250 zstd 1000 gzip 500 identity 1"},
		{"br;Q=0.001", "br 1 zstd 0 gzip 0 identity 1"},
		{"gzip;q=0", none},
		{"*", "br 1000 zstd 1000 gzip 1000 identity 1"},
		{"*;q=0", "br 0 zstd 0 gzip 0 identity 0"},
		{"gzip, *;q=0", "br 0 zstd 0 gzip 1000 identity 0"},
		{"identity;q=0.2, *;q=0", "br 0 zstd 0 gzip 0 identity 200"},
		{"identity;q=0", "br 0 zstd 0 gzip 0 identity 0"},
		{"*;q=0.1, br;q=0", "br 0 zstd 100 gzip 100 identity 1"},
		{"br|gzip", "br 1000 zstd 0 gzip 1000 identity 1"}, // two lines
		{",, gzip ,,", "br 0 zstd 0 gzip 1000 identity 1"},
		// Malformed elements name nothing.
		{"gzip;q=2", none}, {"gzip;q=1.1", none}, {"gzip;q=0.1234", none}, {"gzip;q=", none}, {"gzip;q=.5", none}, {"gzip;q=-1", none},
		{"gzip;level=9", none}, {"gzip;q=0.5;x=y", none}, {";q=1", none}, {"gzipp", none}, {"gzip br", none},
	} {
		var lines [][]byte
		for l := range strings.SplitSeq(tt.field, "|") {
			lines = append(lines, []byte(l))
		}
		if got := acceptEncoding(lines).String(); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.field, got, tt.want)
		}
	}
}

// A weight is never above 1, whatever the field holds, and reading it twice gives the same.
func FuzzAcceptEncoding(f *testing.F) {
	for _, s := range []string{"gzip, br;q=0.5", "*;q=0", "identity;q=1.000,;;,", "br;q=0.0001"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, field []byte) {
		w := acceptEncoding([][]byte{field})
		for _, q := range append(w.coding[:], w.identity) {
			if q > 1000 {
				t.Errorf("%q: %s", field, w)
			}
		}
		if w != acceptEncoding([][]byte{nil, field}) {
			t.Errorf("%q: another result with an empty line before", field)
		}
	})
}

func (w weights) String() string {
	var b strings.Builder
	for i, q := range w.coding {
		fmt.Fprintf(&b, "%s %d ", codings[i].name, q)
	}
	fmt.Fprintf(&b, "identity %d", w.identity)
	return b.String()
}
