package static

import (
	"crypto/rand"
	"io"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
)

// maxRanges bounds how many parts one answer has.
const maxRanges = 16

// parseRanges reads a Range header for a file of size bytes (RFC 9110, section
// 14.1.2). ok is false if the header is to be ignored: it is malformed, of
// another unit, or of a kind nobody needs: more parts than maxRanges, or more
// bytes than the file has. No part means that none can be satisfied.
func parseRanges(header []byte, size int64) (parts []span, ok bool) {
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
		if s.len() <= 0 {
			continue // cannot be satisfied
		}
		if total += s.len(); len(parts) == maxRanges || total > size {
			return nil, false
		}
		parts = append(parts, s)
	}
	return parts, specs > 0
}

func parseRange(spec string, size int64) (s span, valid bool) {
	first, last, is := strings.Cut(spec, "-")
	if !is || first == "" && last == "" {
		return s, false
	}
	if first == "" { // the last so many bytes
		n, ok := parsePos(last)
		return span{max(size-n, 0), size}, ok
	}
	from, ok := parsePos(first)
	if !ok {
		return s, false
	}
	if last == "" {
		return span{from, size}, true
	}
	to, ok := parsePos(last)
	return span{from, min(to, size-1) + 1}, ok && from <= to
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
func appendContentRange(b []byte, s *span, size int64) []byte {
	b = append(b, "bytes "...)
	if s == nil {
		b = append(b, '*')
	} else {
		b = strconv.AppendInt(b, s.from, 10)
		b = strconv.AppendInt(append(b, '-'), s.to-1, 10)
	}
	return strconv.AppendInt(append(b, '/'), size, 10)
}

// sendParts answers with several parts, as multipart/byteranges.
func (f *file) sendParts(ctx *fasthttp.RequestCtx, parts []span) {
	boundary := rand.Text()
	var readers []io.Reader
	size := int64(0)
	text := func(b []byte) {
		readers = append(readers, &memoryBody{b})
		size += int64(len(b))
	}
	for i := range parts {
		b := []byte("\r\n--" + boundary + "\r\nContent-Type: ")
		b = append(append(b, f.head.contentType...), "\r\nContent-Range: "...)
		text(append(appendContentRange(b, &parts[i], f.size), "\r\n\r\n"...))
		readers = append(readers, f.section(parts[i]))
		size += parts[i].len()
	}
	text([]byte("\r\n--" + boundary + "--\r\n"))
	ctx.SetContentType("multipart/byteranges; boundary=" + boundary)
	f.acquire()
	ctx.Response.SetBodyStream(&partsBody{io.MultiReader(readers...), f}, int(size))
}

type partsBody struct {
	io.Reader
	f *file
}

// Close lets go of the file.
func (b *partsBody) Close() error {
	b.f.release()
	return nil
}
