//go:build linux

package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// progress tells what runs, and how long is left: on a terminal as one line
// that is written over, elsewhere as a line for each comparison.
type progress struct {
	out      *os.File
	terminal bool
	total    int
	done     int
	ends     time.Time // an estimate
	what     string
	refining bool // what runs has run before
}

func newProgress(out *os.File, total int) *progress {
	_, err := unix.IoctlGetTermios(int(out.Fd()), unix.TCGETS)
	return &progress{out: out, terminal: err == nil, total: total}
}

// begin names the part that begins now, and how long it and the rest will take.
func (p *progress) begin(what string, left time.Duration) {
	p.done++
	p.what, p.ends = what, time.Now().Add(left)
	if !p.terminal {
		fmt.Fprintln(p.out, p.head())
	}
}

// again names a part that gets more time; left is what there is for all of them.
func (p *progress) again(what string, left time.Duration) {
	p.refining = true
	p.done--
	p.begin(what, left)
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
		return fmt.Sprintf("[more starts] %s, at most %v left", p.what, left)
	}
	return fmt.Sprintf("[%d/%d] %s, about %v left", p.done, p.total, p.what, left)
}

// end clears the line.
func (p *progress) end() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
