package static

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
)

// conditions evaluates the conditional header fields in the order of RFC 9110,
// section 13.2.2.
type conditions struct{}

func (conditions) Decide(r Request, a *Answer) bool {
	switch status := preconditions(r, a.Version, a.tag()); status {
	case http.StatusPreconditionFailed:
		a.Fail(status)
		return true
	case http.StatusNotModified:
		a.describe()
		a.Status, a.ContentType = status, nil
		return true
	}
	return false
}

func preconditions(r Request, v *Version, tag []byte) int {
	if len(r.Header("If-Match")) > 0 {
		if !anyMatches(r.Headers("If-Match"), tag, false) {
			return http.StatusPreconditionFailed
		}
	} else if t, ok := date(r.Header("If-Unmodified-Since")); ok && !v.generated() && v.modified > t {
		return http.StatusPreconditionFailed
	}
	if len(r.Header("If-None-Match")) > 0 {
		if anyMatches(r.Headers("If-None-Match"), tag, true) {
			return http.StatusNotModified
		}
	} else if t, ok := date(r.Header("If-Modified-Since")); ok && !v.generated() && v.modified <= t {
		return http.StatusNotModified
	}
	return http.StatusOK
}

// ifRange reports whether a Range header counts: there is no If-Range, or it names this
// version by a strong tag. A date never does (section 13.1.5): it counts only where the
// server knows that the file has not changed twice within that second, or kept its date as
// it changed, and no file system tells. Whoever has a date from here has a tag as well, but
// where tags are off.
func ifRange(r Request, v *Version) bool {
	value := r.Header("If-Range")
	return len(value) == 0 || value[0] == '"' && bytes.Equal(value, v.etag)
}

func date(v []byte) (unix int64, ok bool) {
	if len(v) == 0 {
		return 0, false
	}
	t, err := http.ParseTime(string(v))
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
	opaque, tagIsWeak := strings.CutPrefix(string(tag), "W/")
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
		if rest[:end+2] == opaque && (weak || !isWeak && !tagIsWeak) {
			return true
		}
		rest = rest[end+2:]
	}
	return false
}
