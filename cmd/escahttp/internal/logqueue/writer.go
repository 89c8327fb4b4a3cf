package logqueue

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// writer takes the lines of a queue to one output.
type writer struct {
	q    *Queue
	out  io.WriteCloser
	more chan struct{} // of capacity one: there are lines, or enough of them
	quit chan struct{}
	once sync.Once
	done chan struct{}
	torn bool // what was written last is not a whole line
}

func newWriter(q *Queue, out io.WriteCloser) *writer {
	w := &writer{q: q, out: out, more: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

func (w *writer) wake() {
	select {
	case w.more <- struct{}{}:
	default:
	}
}

func (w *writer) end() { w.once.Do(func() { close(w.quit) }) }

func (w *writer) run() {
	defer close(w.done)
	defer w.out.Close()
	var buf []byte
	for last := false; ; {
		if !last {
			last = !w.wait()
		}
		lines, mine := w.q.take(w, buf)
		if len(lines) > 0 {
			w.write(lines)
		}
		buf = lines[:0]
		if !mine || last && len(lines) == 0 {
			return
		}
	}
}

// wait waits for lines, and gathers them for a while; false: this is the end.
func (w *writer) wait() bool {
	select {
	case <-w.more:
	case <-w.quit:
		return false
	}
	if w.q.o.Delay <= 0 || w.q.enough() {
		return true
	}
	t := time.NewTimer(w.q.o.Delay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.more:
	case <-w.quit:
		return false
	}
	return true
}

func (q *Queue) enough() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.line) >= batch
}

// take takes what waits, and leaves buf in its place; mine is false if the queue
// has another writer now.
func (q *Queue) take(w *writer, buf []byte) (lines []byte, mine bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.w != w {
		return nil, false
	}
	lines, q.line = q.line, buf
	return lines, true
}

func (w *writer) write(lines []byte) {
	b := lines
	if w.torn { // that line is counted as lost already
		b = append([]byte{'\n'}, lines...)
	}
	n, err := w.out.Write(b)
	lost := bytes.Count(b[n:], []byte{'\n'})
	if w.torn && n == 0 {
		lost--
	}
	if n > 0 {
		w.torn = b[n-1] != '\n'
	}
	if err != nil {
		w.q.failed(err, uint64(lost))
	} else {
		w.q.succeeded()
	}
}

// failed counts lines that could not be written, and says so when it begins.
func (q *Queue) failed(err error, lines uint64) {
	q.mu.Lock()
	q.lost += lines
	say := !q.bad
	q.bad = true
	q.mu.Unlock()
	if say {
		q.o.Say("%s: %v: lines are dropped until it can be written to", q.o.Name, err)
	}
}

// succeeded says how many lines were lost, if any were.
func (q *Queue) succeeded() {
	q.mu.Lock()
	lost := q.lost
	q.lost, q.full, q.bad = 0, false, false
	q.mu.Unlock()
	if lost > 0 {
		q.o.Say("%s takes lines again: %d were lost", q.o.Name, lost)
	}
}
