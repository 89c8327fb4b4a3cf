//go:build linux

package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// progress tells what runs, and how long is left: on a terminal as one line
// that is written over, elsewhere as a line for each start of a comparison.
type progress struct {
	out      *os.File
	terminal bool
	ends     time.Time // an estimate
	what     string
	start    int  // of the part's servers
	starts   int  // of them in all
	refining bool // all parts have run as often as asked
}

func newProgress(out *os.File) *progress {
	_, err := unix.IoctlGetTermios(int(out.Fd()), unix.TCGETS)
	return &progress{out: out, terminal: err == nil}
}

// begin names the part that begins now with a start of its servers, and how long
// all that is left will take.
func (p *progress) begin(what string, start, starts int, left time.Duration) {
	p.what, p.start, p.starts, p.ends = what, start, starts, time.Now().Add(left)
	if !p.terminal {
		fmt.Fprintln(p.out, p.head())
	}
}

// again names a part that gets more time; left is what there is for all of them.
func (p *progress) again(what string, start int, left time.Duration) {
	p.refining = true
	p.begin(what, start, start, left)
}

// show is what the current part is about to do or has done.
func (p *progress) show(format string, args ...any) {
	if p.terminal {
		const cut = 150
		line := []rune(p.head() + " · " + fmt.Sprintf(format, args...))
		fmt.Fprintf(p.out, "\r\x1b[K%s", string(line[:min(len(line), cut)]))
	}
}

// note is a line that stays.
func (p *progress) note(format string, args ...any) {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	fmt.Fprintf(p.out, format+"\n", args...)
}

func (p *progress) head() string {
	left := max(0, time.Until(p.ends)).Round(time.Second)
	if p.refining {
		return fmt.Sprintf("[more starts: %d] %s, at most %v left", p.start, p.what, left)
	}
	return fmt.Sprintf("[start %d of %d] %s, about %v left", p.start, p.starts, p.what, left)
}

// end clears the line.
func (p *progress) end() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
