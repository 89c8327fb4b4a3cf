package static

import (
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"
)

// ranges answers with the parts of the version that a Range header asks for.
type ranges struct{}

func (ranges) Decide(r Request, a *Answer) bool {
	v := a.Version
	header := r.Header("Range")
	if len(header) == 0 || a.coding != nil || string(r.Method()) != "GET" || v.generated() || !ifRange(r, v) {
		return false
	}
	parts, ok := parseRanges(header, v.size)
	switch {
	case !ok:
		return false
	case len(parts) == 0:
		a.set(keyContentRange, appendContentRange(nil, nil, v.size))
		a.Fail(http.StatusRequestedRangeNotSatisfiable)
		return true
	}
	a.describe()
	a.Status = http.StatusPartialContent
	if len(parts) > 1 {
		a.multipart(parts)
		return true
	}
	a.set(keyContentRange, appendContentRange(nil, &parts[0], v.size))
	a.only(parts[0])
	return true
}

// maxRanges bounds how many parts one answer has.
const maxRanges = 16

// parseRanges reads a Range header for a file of size bytes (RFC 9110, section
// 14.1.2). ok is false if the header is to be ignored: it is malformed, of
// another unit, or of a kind nobody needs: more parts than maxRanges, or more
// bytes than the file has. No part means that none can be satisfied. Of an empty
// file the whole is sent, as all servers do.
func parseRanges(header []byte, size int64) (parts []Span, ok bool) {
	if size == 0 {
		return nil, false
	}
	list, is := strings.CutPrefix(strings.ToLower(string(header)), "bytes=")
	if !is {
		return nil, false
	}
	total, specs := int64(0), 0
	for spec := range strings.SplitSeq(list, ",") {
		spec = strings.Trim(spec, " \t")
		if spec == "" {
			continue
		}
		specs++
		s, valid := parseRange(spec, size)
		if !valid {
			return nil, false
		}
		if s.Len() <= 0 {
			continue // cannot be satisfied
		}
		if total += s.Len(); len(parts) == maxRanges || total > size {
			return nil, false
		}
		parts = append(parts, s)
	}
	return parts, specs > 0
}

func parseRange(spec string, size int64) (s Span, valid bool) {
	first, last, is := strings.Cut(spec, "-")
	if !is || first == "" && last == "" {
		return s, false
	}
	if first == "" { // the last so many bytes
		n, ok := parsePos(last)
		return Span{max(size-n, 0), size}, ok
	}
	from, ok := parsePos(first)
	if !ok {
		return s, false
	}
	if last == "" {
		return Span{from, size}, true
	}
	to, ok := parsePos(last)
	return Span{from, min(to, size-1) + 1}, ok && from <= to
}

// parsePos reads digits; a number too large to matter is cut off.
func parsePos(s string) (int64, bool) {
	const most = 1<<62 - 1
	n := int64(0)
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + int64(c-'0'); n > most/10 {
			n = most / 10
		}
	}
	return n, s != ""
}

// appendContentRange appends the value of Content-Range; nil for none.
func appendContentRange(b []byte, s *Span, size int64) []byte {
	b = append(b, "bytes "...)
	if s == nil {
		b = append(b, '*')
	} else {
		b = strconv.AppendInt(b, s.From, 10)
		b = strconv.AppendInt(append(b, '-'), s.To-1, 10)
	}
	return strconv.AppendInt(append(b, '/'), size, 10)
}

// multipart makes the body one of several parts, as multipart/byteranges.
func (a *Answer) multipart(parts []Span) {
	boundary := rand.Text()
	for i := range parts {
		b := []byte("\r\n--" + boundary + "\r\nContent-Type: ")
		b = append(append(b, a.ContentType...), "\r\nContent-Range: "...)
		b = append(appendContentRange(b, &parts[i], a.Version.size), "\r\n\r\n"...)
		a.Parts = append(a.Parts, Part{Text: b}, Part{Span: parts[i]})
	}
	a.Parts = append(a.Parts, Part{Text: []byte("\r\n--" + boundary + "--\r\n")})
	a.ContentType = []byte("multipart/byteranges; boundary=" + boundary)
}
