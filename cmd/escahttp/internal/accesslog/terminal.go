package accesslog

import (
	"strconv"
	"time"
)

// Codes of colours, by the first digit of the status.
var statusColours = [...]string{'2': "\x1b[32m", '3': "\x1b[36m", '4': "\x1b[33m", '5': "\x1b[31m"}

const (
	dim   = "\x1b[2m"
	reset = "\x1b[0m"
)

// startTerminal begins a line for people: when, status, what, and at its end how much, how
// long it took, and for whom.
func (n *Line) startTerminal(r *Record) {
	n.began = r.Time
	b := n.coloured(n.text[:0], dim)
	b = r.Time.Local().AppendFormat(b, time.TimeOnly)
	b = append(n.coloured(b, reset), ' ')
	if first := '0' + r.Status/100; first < len(statusColours) {
		b = n.coloured(b, statusColours[first])
	}
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(n.coloured(b, reset), ' ')
	if len(r.Method) == 0 {
		b = append(b, '-')
	} else {
		b = append(appendEscaped(b, r.Method), ' ')
		b = appendEscaped(b, r.URI)
	}
	n.text = append(b, ' ')
	n.tail = appendClient(n.tail[:0], r)
}

func (n *Line) finishTerminal(sent int64) {
	b := n.coloured(n.text, dim)
	b = append(appendSize(b, sent), ", "...)
	b = append(b, max(time.Since(n.began), 0).Round(10*time.Microsecond).String()...)
	b = append(b, ", "...)
	b = append(b, n.tail...)
	n.text = append(n.coloured(b, reset), '\n')
}

// coloured appends a code, if there are colours.
func (n *Line) coloured(b []byte, code string) []byte {
	if !n.l.colours {
		return b
	}
	return append(b, code...)
}

func appendSize(b []byte, n int64) []byte {
	unit, f := "B", float64(n)
	for _, larger := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, larger
	}
	if unit == "B" {
		b = strconv.AppendInt(b, n, 10)
	} else {
		b = strconv.AppendFloat(b, f, 'f', 1, 64)
	}
	return append(append(b, ' '), unit...)
}
