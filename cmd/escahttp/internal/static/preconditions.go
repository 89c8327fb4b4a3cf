package static

import (
	"bytes"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// preconditions evaluates the conditional headers in the order of RFC 9110,
// section 13.2.2: 200 to go on, 304 or 412.
func preconditions(req *fasthttp.RequestHeader, h *head) int {
	if len(req.Peek("If-Match")) > 0 {
		if !anyMatches(req.PeekAll("If-Match"), h.etag, false) {
			return fasthttp.StatusPreconditionFailed
		}
	} else if t, ok := date(req.Peek("If-Unmodified-Since")); ok && h.modified.Unix() > t {
		return fasthttp.StatusPreconditionFailed
	}
	if len(req.Peek("If-None-Match")) > 0 {
		if anyMatches(req.PeekAll("If-None-Match"), h.etag, true) {
			return fasthttp.StatusNotModified
		}
	} else if t, ok := date(req.Peek("If-Modified-Since")); ok && h.modified.Unix() <= t {
		return fasthttp.StatusNotModified
	}
	return fasthttp.StatusOK
}

// ifRange reports whether a Range header counts: there is no If-Range, or it
// names this version. A date does so only if it is the exact one (section 13.1.5).
func ifRange(req *fasthttp.RequestHeader, h *head) bool {
	v := req.Peek("If-Range")
	if len(v) == 0 {
		return true
	}
	if v[0] == '"' {
		return bytes.Equal(v, h.etag)
	}
	t, ok := date(v)
	return ok && t == h.modified.Unix()
}

func date(v []byte) (unix int64, ok bool) {
	if len(v) == 0 {
		return 0, false
	}
	t, err := fasthttp.ParseHTTPDate(v)
	return t.Unix(), err == nil
}

// anyMatches is matches for a list that may be spread over several header lines.
func anyMatches(lines [][]byte, tag []byte, weak bool) bool {
	return slices.ContainsFunc(lines, func(l []byte) bool { return matches(l, tag, weak) })
}

// matches reports whether a list of entity tags holds tag. Weak tags count only
// in a weak comparison (section 8.8.3.2).
func matches(list, tag []byte, weak bool) bool {
	rest := strings.TrimSpace(string(list))
	if rest == "*" {
		return true
	}
	for rest != "" {
		rest = strings.TrimLeft(rest, " \t,")
		isWeak := strings.HasPrefix(rest, "W/")
		rest = strings.TrimPrefix(rest, "W/")
		if !strings.HasPrefix(rest, `"`) {
			return false
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return false
		}
		if rest[:end+2] == string(tag) && (weak || !isWeak) {
			return true
		}
		rest = rest[end+2:]
	}
	return false
}
