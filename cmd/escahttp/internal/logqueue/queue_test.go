package logqueue

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// output is a double of a file: one that takes everything, hangs, or is full.
type output struct {
	mu     sync.Mutex
	got    bytes.Buffer
	err    error
	short  int // bytes that still fit when err is set
	hang   chan struct{}
	closed chan struct{}
}

func newOutput() *output { return &output{closed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	hang := o.hang
	o.mu.Unlock()
	if hang != nil {
		<-hang
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		n := min(o.short, len(p))
		o.short -= n
		o.got.Write(p[:n])
		return n, o.err
	}
	return o.got.Write(p)
}

func (o *output) Close() error { close(o.closed); return nil }

func (o *output) set(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.got.String()
}

// sayer keeps what a queue says.
type sayer struct {
	mu   sync.Mutex
	said []string
}

func (s *sayer) say(f string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, fmt.Sprintf(f, args...))
}

func (s *sayer) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.said, "\n")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come about that %s", what)
		}
	}
}

func TestLinesComeInOrder(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Millisecond, time.Hour} {
		o, want := newOutput(), ""
		q := New(o, Options{Name: "log", Delay: delay})
		for i := range 5000 {
			line := fmt.Sprintf("line %d\n", i)
			want += line
			q.Write([]byte(line))
		}
		if !q.Close(30*time.Second) || o.text() != want {
			t.Errorf("delay %v: %d bytes, want %d", delay, len(o.text()), len(want))
		}
		<-o.closed
	}
}

func TestLinesAreNotKeptForLongerThanTheDelay(t *testing.T) {
	o := newOutput()
	q := New(o, Options{Name: "log", Delay: time.Millisecond})
	q.Write([]byte("a\n"))
	eventually(t, "it is written", func() bool { return o.text() == "a\n" })
	q.Close(time.Second)
}

// An output that hangs costs lines, which are counted, and nobody's time.
func TestOutputThatHangs(t *testing.T) {
	o, s := newOutput(), new(sayer)
	hang := make(chan struct{})
	o.hang = hang
	q := New(o, Options{Name: "log", Bytes: 100, Say: s.say})
	line := []byte("123456789\n")
	for range 1000 {
		q.Write(line)
	}
	if said := s.all(); strings.Count(said, "dropped") != 1 {
		t.Errorf("it says %q", said)
	}
	if q.Close(time.Millisecond) {
		t.Error("Close has not been kept waiting by what hangs")
	}
	o.set(func() { o.hang = nil })
	close(hang)
	<-o.closed
	lost := 0
	lines := strings.Count(o.text(), "\n")
	if _, err := fmt.Sscanf(s.all()[strings.Index(s.all(), "again:"):], "again: %d were", &lost); err != nil || lost+lines != 1000 || lines > 21 {
		t.Errorf("%d lines were written and %d lost: %q", lines, lost, s.all())
	}
}

// A full disk is said when it begins, and when it is over; the line that was cut
// stays one.
func TestFullDisk(t *testing.T) {
	o, s := newOutput(), new(sayer)
	o.err, o.short = errors.New("no space left on device"), 3
	q := New(o, Options{Name: "log", Say: s.say})
	for i := range 5 {
		q.Write([]byte("line\n"))
		eventually(t, "it is lost", func() bool {
			q.mu.Lock()
			defer q.mu.Unlock()
			return q.lost == uint64(i+1)
		})
	}
	if said := s.all(); strings.Count(said, "no space left on device") != 1 || strings.Contains(said, "\n") {
		t.Errorf("it says %q", said)
	}
	o.set(func() { o.err = nil })
	q.Write([]byte("more\n"))
	q.Close(30 * time.Second)
	if o.text() != "lin\nmore\n" || !strings.Contains(s.all(), "5 were lost") {
		t.Errorf("written is %q, said %q", o.text(), s.all())
	}
}

// A queue that nobody is there to speak for speaks for itself, when it can.
func TestSaysItself(t *testing.T) {
	o := newOutput()
	hang := make(chan struct{})
	o.hang = hang
	q := New(o, Options{Name: "standard error", Bytes: 50})
	for range 100 {
		q.Write([]byte("123456789\n"))
	}
	o.set(func() { o.hang = nil })
	close(hang)
	eventually(t, "it says so", func() bool { return strings.Contains(o.text(), "were lost\n") })
	q.Close(time.Second)
}

func TestReopen(t *testing.T) {
	old, fresh, s := newOutput(), newOutput(), new(sayer)
	hang := make(chan struct{})
	old.hang = hang
	q := New(old, Options{Name: "log", Say: s.say})
	q.Write([]byte("1\n"))
	eventually(t, "it hangs with the first line", func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		return len(q.line) == 0
	})
	q.Write([]byte("2\n"))
	q.Reopen(fresh) // what hangs is left behind
	eventually(t, "the second line is in the new file", func() bool { return fresh.text() == "2\n" })
	close(hang)
	<-old.closed
	q.Write([]byte("3\n"))
	q.Close(30 * time.Second)
	if old.text() != "1\n" || fresh.text() != "2\n3\n" {
		t.Errorf("%q and %q", old.text(), fresh.text())
	}
}

func TestNothingIsAllocated(t *testing.T) {
	q := New(newOutput(), Options{Name: "log", Delay: time.Hour})
	defer q.Close(time.Second)
	line := []byte("line\n")
	for range 4000 {
		q.Write(line) // the buffer grows
	}
	q.mu.Lock()
	q.line = q.line[:0]
	q.mu.Unlock()
	if n := testing.AllocsPerRun(1000, func() { q.Write(line) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A Reopen that comes too late takes no lines with it.
func TestReopenAfterClose(t *testing.T) {
	first, second := newOutput(), newOutput()
	q := New(first, Options{Delay: time.Hour})
	q.Write([]byte("a line\n"))
	if !q.Close(30 * time.Second) {
		t.Error("Close says that lines are lost")
	}
	q.Reopen(second)
	<-second.closed
	if first.text() != "a line\n" || second.text() != "" {
		t.Errorf("%q, and %q in the second", first.text(), second.text())
	}
}
