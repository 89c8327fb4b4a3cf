package errlog

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

type buffer struct{ bytes.Buffer }

func (*buffer) Close() error { return nil }

// A line is one line, and bounded, whatever is in it.
func TestLines(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "p: plain\n", "two\nlines": "p: two; lines\n", "end\n": "p: end\n",
		"\x1b[2J\x00\x7f\r": "p: \\x1b[2J\\x00\\x7f\\x0d\n", "ü": "p: ü\n", "": "p: \n",
		"\u009b2J\x9b\xff\u202e\ufffd": "p: \\xc2\\x9b2J\\x9b\\xff\\xe2\\x80\\xae\ufffd\n",
	} {
		if got := string(line("p: ", in, longest)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for _, in := range []string{strings.Repeat("a", 1e6), strings.Repeat("\x01", 1e6), strings.Repeat("\n", 1e6)} {
		if got := line("p: ", in, longestLimited); len(got) > longestLimited+8 || bytes.Count(got, []byte{'\n'}) != 1 {
			t.Errorf("%d bytes of %.3q give %d", len(in), in, len(got))
		}
	}
}

// What clients cause is said some times, then once a second, and then how often
// it was left out.
func TestLimited(t *testing.T) {
	var out buffer
	l := New(&out, "")
	m := l.Limited("clients")
	begin := time.Now()
	for range 100_000 {
		m.Printf("x")
	}
	seconds := int(time.Since(begin)/every) + 1
	m.count()
	l.Close(30 * time.Second)
	lines := strings.Count(out.String(), "x\n")
	if lines < burst || lines > burst+seconds || !strings.Contains(out.String(), "more lines about clients were left out") {
		t.Errorf("%d lines; at the end %.100q", lines, out.String()[max(0, out.Len()-100):])
	}
}
