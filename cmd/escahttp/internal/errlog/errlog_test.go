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

// What matters less than the level is not said, nor counted among what was left out.
func TestLevels(t *testing.T) {
	for level, want := range map[string]string{"info": "e\nw\ni\nclient\ntrace\n", "warning": "e\nw\nclient\ntrace\n", "error": "e\ntrace\n"} {
		var out buffer
		l := New(&out, "")
		var to Level
		if err := to.UnmarshalText([]byte(level)); err != nil {
			t.Fatal(err)
		}
		l.SetLevel(to)
		l.Errorf("e")
		l.Warnf("w")
		l.Printf("i")
		clients := l.Limited("clients")
		clients.Printf("client")
		l.Traces().Printf("trace")
		l.Close(time.Minute)
		if got := out.String(); got != want {
			t.Errorf("%s: %q, want %q", level, got, want)
		}
		if level == "error" && clients.tokens != burst {
			t.Error("what is not said is counted")
		}
	}
	if err := new(Level).UnmarshalText([]byte("loud")); err == nil {
		t.Error("any word is a level")
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
