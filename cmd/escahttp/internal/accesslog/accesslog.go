// Package accesslog writes a line for each answer, in the Common or Combined Log
// Format or in JSON: when the answer is complete or was broken off, with the bytes of the
// body that were sent.
package accesslog

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/escahttp/esca/cmd/escahttp/internal/logqueue"
	"github.com/escahttp/esca/cmd/escahttp/internal/terminal"
)

// Log is an access log. Its methods may be called from any goroutine. A nil Log
// logs nothing.
type Log struct {
	path     string
	combined bool
	json     bool
	terminal bool // lines are for people,
	colours  bool // in colour
	q        *logqueue.Queue
}

// Open opens the log at path, "-" for standard output. format is "common",
// "combined", "json" or "terminal", which is for people to look at, in colour where standard
// output is a terminal. Lines are written out once a second, those for people at once. say is told what the operator
// should know, and must not block.
func Open(path, format string, say func(format string, args ...any)) (*Log, error) {
	l := &Log{path: path, combined: format == "combined", json: format == "json", terminal: format == "terminal"}
	if !l.combined && !l.json && !l.terminal && format != "common" {
		return nil, fmt.Errorf("access log format %q is not known: use common, combined, json or terminal", format)
	}
	delay := time.Second
	if l.terminal {
		l.colours, delay = path == "-" && terminal.Colours(os.Stdout), 50*time.Millisecond
	}
	out, err := l.open()
	if err != nil {
		return nil, err
	}
	l.q = logqueue.New(out, logqueue.Options{Name: "access log " + path, Bytes: 4 << 20, Delay: delay, Say: say})
	return l, nil
}

// Reopen closes the file and opens it anew at its path, as log rotation wants. If
// that fails, the log goes on as it was.
func (l *Log) Reopen() error {
	out, err := l.open()
	if err == nil {
		l.q.Reopen(out)
	}
	return err
}

func (l *Log) open() (io.WriteCloser, error) {
	if l.path == "-" {
		return struct {
			io.Writer
			io.Closer
		}{os.Stdout, io.NopCloser(nil)}, nil
	}
	// Not blocking: opening a FIFO would wait for a reader.
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, 0o644)
	switch {
	case errors.Is(err, syscall.ENXIO):
		return nil, fmt.Errorf("access log: nobody reads the pipe %s: start its reader first", l.path)
	case err != nil:
		return nil, fmt.Errorf("access log: %w", err)
	}
	return f, nil
}

// Close writes out what there is, for as long as within, and reports false if
// that was not enough.
func (l *Log) Close(within time.Duration) bool { return l.q.Close(within) }

// Record is what is logged of an answer, but for the bytes sent.
type Record struct {
	Peer               net.Addr
	Client             netip.Addr // whom the peer speaks for; not valid: itself
	Time               time.Time
	Method, URI, Proto []byte // no Method: the request could not be read
	Status             int
	Referer, UserAgent []byte
	Host               []byte // in JSON only
}

// Line is a line that waits for its answer's end.
type Line struct {
	l    *Log
	text []byte // up to the bytes sent
	tail []byte // after them

	began time.Time // of a line in JSON, or for people
}

var lines = sync.Pool{New: func() any { return new(Line) }}

// Start begins a line; nothing of r is kept.
func (l *Log) Start(r *Record) *Line {
	if l == nil {
		return nil
	}
	n := lines.Get().(*Line)
	n.l = l
	switch {
	case l.json:
		n.startJSON(r)
		return n
	case l.terminal:
		n.startTerminal(r)
		return n
	}
	b := appendClient(n.text[:0], r)
	b = append(b, " - - ["...)
	b = r.Time.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	if len(r.Method) == 0 {
		b = append(b, '-')
	} else {
		b = appendEscaped(b, r.Method)
		b = append(b, ' ')
		b = appendEscaped(b, r.URI)
		b = append(b, ' ')
		b = appendEscaped(b, r.Proto)
	}
	b = append(b, `" `...)
	n.text = append(strconv.AppendInt(b, int64(r.Status), 10), ' ')
	b = n.tail[:0]
	if l.combined {
		b = append(b, ` "`...)
		b = appendEscaped(b, orDash(r.Referer))
		b = append(b, `" "`...)
		b = appendEscaped(b, orDash(r.UserAgent))
		b = append(b, '"')
	}
	n.tail = append(b, '\n')
	return n
}

// Finish writes the line: sent bytes of the body were. The line must not be used
// after that.
func (n *Line) Finish(sent int64) {
	if n == nil {
		return
	}
	switch {
	case n.l.json:
		n.finishJSON(sent)
	case n.l.terminal:
		n.finishTerminal(sent)
	default:
		n.text = strconv.AppendInt(n.text, sent, 10)
		n.text = append(n.text, n.tail...)
	}
	n.l.q.Write(n.text)
	n.l = nil
	lines.Put(n)
}

func appendClient(b []byte, r *Record) []byte {
	if r.Client.IsValid() {
		return r.Client.Unmap().AppendTo(b)
	}
	return appendPeer(b, r.Peer)
}

// appendPeer appends who has asked. Over a unix socket nobody has an address.
func appendPeer(b []byte, a net.Addr) []byte {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap().AppendTo(b)
	case *net.UnixAddr:
		return append(b, "unix:"...)
	}
	return append(b, '-')
}

func orDash(b []byte) []byte {
	if len(b) == 0 {
		return []byte{'-'}
	}
	return b
}

// appendEscaped appends what a client has sent so that it cannot forge a line.
func appendEscaped(b, v []byte) []byte {
	const hex = "0123456789abcdef"
	for _, c := range v {
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}
