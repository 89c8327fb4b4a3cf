// Package errlog is the log of what the operator should know: a line each, of
// bounded length, written behind the callers' backs. What clients can cause is
// limited in how often it is said as well.
package errlog

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/escahttp/esca/cmd/escahttp/internal/logqueue"
)

// How many bytes a line has at the most; what is longer is cut.
const (
	longest        = 8 << 10
	longestLimited = 512
)

// Log is a log. Any number of goroutines may use it.
type Log struct {
	prefix string
	q      *logqueue.Queue
	level  atomic.Int32
}

// Level is how much a line matters, and how much one has to matter to be written.
type Level int32

// Levels, each of which includes those before.
const (
	Error   Level = iota - 2 // something does not work
	Warning                  // something was refused, or cut off, or goes on in another way
	Info                     // what is done
)

// UnmarshalText reads a level's name.
func (l *Level) UnmarshalText(text []byte) error {
	switch string(text) {
	case "error":
		*l = Error
	case "warning":
		*l = Warning
	case "info":
		*l = Info
	default:
		return fmt.Errorf("%q is no level: give error, warning or info", text)
	}
	return nil
}

// SetLevel has only lines of this level, and of those that matter more, be written. It is
// Info at first.
func (l *Log) SetLevel(to Level) { l.level.Store(int32(to)) }

// New returns a Log whose lines begin with prefix, and go to out.
func New(out io.WriteCloser, prefix string) *Log {
	return &Log{prefix: prefix, q: logqueue.New(out, logqueue.Options{Name: prefix + "standard error", Bytes: 256 << 10})}
}

// Printf logs a line of level Info.
func (l *Log) Printf(format string, args ...any) { l.print(Info, longest, format, args) }

// Warnf logs a line of level Warning.
func (l *Log) Warnf(format string, args ...any) { l.print(Warning, longest, format, args) }

// Errorf logs a line of level Error.
func (l *Log) Errorf(format string, args ...any) { l.print(Error, longest, format, args) }

func (l *Log) print(level Level, longest int, format string, args []any) {
	if l.writes(level) {
		l.q.Write(line(l.prefix, fmt.Sprintf(format, args...), longest))
	}
}

func (l *Log) writes(level Level) bool { return level <= Level(l.level.Load()) }

// Close writes what waits, for as long as within.
func (l *Log) Close(within time.Duration) { l.q.Close(within) }

// line makes one line of text, which may come from a client: nothing in it can
// look like the end of a line, or command a terminal.
func line(prefix, text string, longest int) []byte {
	const hex = "0123456789abcdef"
	text = strings.TrimSuffix(text, "\n")
	b := append(make([]byte, 0, len(prefix)+min(len(text), longest)+16), prefix...)
	for len(text) > 0 {
		if len(b) >= longest {
			b = append(b, "..."...)
			break
		}
		r, n := utf8.DecodeRuneInString(text)
		switch c := text[:n]; {
		case r == '\n':
			b = append(b, "; "...)
		case unicode.IsPrint(r) && (r != utf8.RuneError || n > 1):
			b = append(b, c...)
		default:
			for i := range n {
				b = append(b, '\\', 'x', hex[c[i]>>4], hex[c[i]&15])
			}
		}
		text = text[n:]
	}
	return append(b, '\n')
}

// How often something that clients cause is said: so many times in a row, and
// once a second after that.
const (
	burst = 10
	every = time.Second
	// countAfter is when it is said how many lines were left out.
	countAfter = 10 * time.Second
)

// Limited is a Log for what clients can cause. It is a fasthttp.Logger.
type Limited struct {
	l       *Log
	level   Level
	what    string
	longest int

	mu     sync.Mutex
	tokens int
	last   time.Time // when tokens was brought up to date
	left   int       // lines left out
}

// Limited returns a Limited for lines about what, of level Warning.
func (l *Log) Limited(what string) *Limited {
	return &Limited{l: l, level: Warning, what: what, longest: longestLimited, tokens: burst, last: time.Now()}
}

// Traces returns a Limited whose lines are long enough for what a bug leaves, of level
// Error.
func (l *Log) Traces() *Limited {
	m := l.Limited("panics")
	m.longest, m.level = longest, Error
	return m
}

// Printf logs a line, or counts it.
func (m *Limited) Printf(format string, args ...any) {
	if m.l.writes(m.level) && m.allow() {
		m.l.print(m.level, m.longest, format, args)
	}
}

func (m *Limited) allow() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if n := int(now.Sub(m.last) / every); n > 0 {
		m.tokens, m.last = min(burst, m.tokens+n), now
	}
	if m.tokens > 0 {
		m.tokens--
		return true
	}
	if m.left++; m.left == 1 {
		time.AfterFunc(countAfter, m.count)
	}
	return false
}

// count says how many lines were left out.
func (m *Limited) count() {
	m.mu.Lock()
	n := m.left
	m.left = 0
	m.mu.Unlock()
	m.l.print(m.level, longest, "%d more lines about %s were left out", []any{n, m.what})
}
