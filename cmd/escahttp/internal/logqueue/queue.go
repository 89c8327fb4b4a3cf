// Package logqueue writes lines behind the backs of those who log them: a pipe
// that nobody reads, or a disk that hangs, costs lines and not requests.
//
//	Write ──► pending ──► writer ──► file, pipe, terminal
//	           bounded     one goroutine an output; a new one after Reopen,
//	                       so that one that is stuck is left behind
package logqueue

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Options of a Queue.
type Options struct {
	// Name is what the output is called in what is said of it.
	Name string
	// Bytes bounds what waits to be written. Default 1 MiB.
	Bytes int
	// Delay is how long lines are gathered before they are written.
	Delay time.Duration
	// Say is told when lines are lost, why, and when that is over. It must not
	// block. Default: the queue says it itself, in a line of its own.
	Say func(format string, args ...any)
}

// batch is how much is gathered at the most before it is written.
const batch = 32 << 10

// Queue is a bounded queue of lines on their way to an output. Any number of
// goroutines may use it.
type Queue struct {
	o    Options
	mu   sync.Mutex
	w    *writer
	line []byte // whole lines that wait
	lost uint64 // lines, since the last time they were spoken of
	full bool   // it was said that lines are being dropped
	bad  bool   // it was said that the output cannot be written to
	over bool   // it is being closed
}

// New returns a Queue that writes to out, which it closes in the end.
func New(out io.WriteCloser, o Options) *Queue {
	if o.Bytes <= 0 {
		o.Bytes = 1 << 20
	}
	q := &Queue{o: o}
	if q.o.Say == nil {
		q.o.Say = func(format string, args ...any) { fmt.Fprintf(q, format+"\n", args...) }
	}
	q.w = newWriter(q, out)
	return q
}

// Write queues line, which ends in a newline, or drops it if too much is waiting
// already. It never blocks and never fails, and does not keep line.
func (q *Queue) Write(line []byte) (int, error) {
	q.mu.Lock()
	say := false
	switch was := len(q.line); {
	case was+len(line) > q.o.Bytes:
		q.lost++
		say, q.full = !q.full, true
	default:
		q.line = append(q.line, line...)
		if was == 0 || was < batch && len(q.line) >= batch {
			q.w.wake()
		}
	}
	q.mu.Unlock()
	if say {
		q.o.Say("%s takes no more lines: they are dropped, and counted", q.o.Name)
	}
	return len(line), nil
}

// Reopen has what comes from now on written to out. An output that is stuck is
// left behind. One that comes when the queue is being closed is too late.
func (q *Queue) Reopen(out io.WriteCloser) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over {
		out.Close()
		return
	}
	q.w.end()
	q.w = newWriter(q, out)
	if len(q.line) > 0 {
		q.w.wake()
	}
}

// Close writes what waits, for as long as within, and reports false if that was
// not enough. Nothing may be written after it.
func (q *Queue) Close(within time.Duration) bool {
	q.mu.Lock()
	w := q.w
	q.over = true
	q.mu.Unlock()
	w.end()
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case <-w.done:
		return true
	case <-t.C:
		return false
	}
}
