// Package accesslog writes a line for each request, in the Common or Combined
// Log Format.
package accesslog

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// Log is an access log. Its methods may be called from any goroutine.
type Log struct {
	path     string
	combined bool

	mu   sync.Mutex
	out  io.Closer // nil: standard output
	w    *bufio.Writer
	line []byte
	err  error // the first that writing met; reported by Close
	quit chan struct{}
	done chan struct{}
}

// Open opens the log at path, "-" for standard output. format is "common" or
// "combined". Lines are written out once a second.
func Open(path, format string) (*Log, error) {
	l := &Log{path: path, combined: format == "combined", quit: make(chan struct{}), done: make(chan struct{})}
	if !l.combined && format != "common" {
		return nil, fmt.Errorf("access log format %q is not known: use common or combined", format)
	}
	if err := l.Reopen(); err != nil {
		return nil, err
	}
	go l.flushEverySecond()
	return l, nil
}

// Reopen closes the file and opens it anew at its path, as log rotation wants.
func (l *Log) Reopen() error {
	var to io.Writer = os.Stdout
	var closer io.Closer
	if l.path != "-" {
		f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			return fmt.Errorf("access log: %w", err)
		}
		to, closer = f, f
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.w != nil {
		l.flush()
		if l.out != nil {
			l.out.Close()
		}
	}
	l.out, l.w = closer, bufio.NewWriterSize(to, 64<<10)
	return nil
}

func (l *Log) flushEverySecond() {
	defer close(l.done)
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			l.mu.Lock()
			l.flush()
			l.mu.Unlock()
		case <-l.quit:
			return
		}
	}
}

func (l *Log) flush() {
	if err := l.w.Flush(); err != nil {
		if l.err == nil {
			l.err = fmt.Errorf("access log: %w", err)
		}
		// A full disk must not end the log for ever: a bufio.Writer keeps its error.
		if w, ok := l.out.(io.Writer); ok {
			l.w.Reset(w)
		} else {
			l.w.Reset(os.Stdout)
		}
	}
}

// Close writes out what there is, and returns the first error that writing met.
func (l *Log) Close() error {
	close(l.quit)
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	if l.out != nil {
		l.out.Close()
	}
	return l.err
}

// Wrap returns a handler that calls h and logs what it has answered.
func (l *Log) Wrap(h fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		h(ctx)
		l.log(ctx)
	}
}

func (l *Log) log(ctx *fasthttp.RequestCtx) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.line[:0]
	b = append(b, ctx.RemoteIP().String()...)
	b = append(b, " - - ["...)
	b = ctx.Time().AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	b = appendEscaped(b, ctx.Method())
	b = append(b, ' ')
	b = appendEscaped(b, ctx.RequestURI())
	b = append(b, ' ')
	b = appendEscaped(b, ctx.Request.Header.Protocol())
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(ctx.Response.StatusCode()), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, size(ctx), 10)
	if l.combined {
		b = append(b, ` "`...)
		b = appendEscaped(b, orDash(ctx.Referer()))
		b = append(b, `" "`...)
		b = appendEscaped(b, orDash(ctx.UserAgent()))
		b = append(b, '"')
	}
	l.line = append(b, '\n')
	l.w.Write(l.line) // an error stays in w, for flush
}

// size is the length of the body that is sent.
func size(ctx *fasthttp.RequestCtx) int64 {
	switch {
	case ctx.IsHead():
		return 0
	case ctx.Response.IsBodyStream():
		return int64(ctx.Response.Header.ContentLength())
	}
	return int64(len(ctx.Response.Body()))
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
