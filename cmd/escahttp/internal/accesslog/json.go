package accesslog

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// startJSON begins a line in JSON: an object, whose last members are written at the end.
func (n *Line) startJSON(r *Record) {
	n.began = r.Time
	b := append(n.text[:0], `{"time":"`...)
	b = r.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","client":"`...)
	b = appendClient(b, r)
	b = append(b, '"')
	if len(r.Method) > 0 {
		b = appendMember(b, "method", r.Method)
		b = appendMember(b, "host", r.Host)
		b = appendMember(b, "uri", r.URI)
		b = appendMember(b, "protocol", r.Proto)
		b = appendMember(b, "referer", r.Referer)
		b = appendMember(b, "user_agent", r.UserAgent)
	}
	b = append(b, `,"status":`...)
	n.text = append(strconv.AppendInt(b, int64(r.Status), 10), `,"bytes":`...)
}

func (n *Line) finishJSON(sent int64) {
	n.text = append(strconv.AppendInt(n.text, sent, 10), `,"duration":`...)
	n.text = strconv.AppendFloat(n.text, max(time.Since(n.began), 0).Seconds(), 'f', 6, 64)
	n.text = append(n.text, "}\n"...)
}

// appendMember appends a member whose value a client has sent, if there is one.
func appendMember(b []byte, name string, value []byte) []byte {
	if len(value) == 0 {
		return b
	}
	const hex = "0123456789abcdef"
	b = append(append(append(b, `,"`...), name...), `":"`...)
	for len(value) > 0 {
		r, n := utf8.DecodeRune(value)
		switch c := value[0]; {
		case r == utf8.RuneError && n == 1:
			b = append(b, `\ufffd`...)
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c == 0x7f:
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		default:
			b = append(b, value[:n]...)
		}
		value = value[n:]
	}
	return append(b, '"')
}
