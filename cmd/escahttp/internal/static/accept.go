package static

import (
	"bytes"
	"sync/atomic"
)

// weights are what a client makes of each coding, in thousandths; 0: not acceptable.
type weights struct {
	coding   [len(codings)]uint16
	identity uint16
}

// accepted remembers what some lines of Accept-Encoding mean: most clients send one of a few.
type accepted [16]atomic.Pointer[acceptedLine]

type acceptedLine struct {
	line string
	weights
}

// longestAccepted is how long a line may be that is remembered.
const longestAccepted = 64

// of is acceptEncoding.
func (m *accepted) of(lines [][]byte) weights {
	if len(lines) != 1 || len(lines[0]) > longestAccepted {
		return acceptEncoding(lines)
	}
	line := lines[0]
	slot := &m[len(line)%len(m)]
	if known := slot.Load(); known != nil && known.line == string(line) {
		return known.weights
	}
	fresh := &acceptedLine{string(line), acceptEncoding(lines)}
	slot.Store(fresh)
	return fresh.weights
}

// asterisk is the place of "*" among the codings, while a field is read.
const asterisk = len(codings)

// acceptEncoding reads the lines of an Accept-Encoding field (RFC 9110, section 12.5.3).
// Without a line, nothing but the identity is wanted: anything would be allowed, but a
// client that says nothing may understand nothing.
//
// The identity, if it is not named, is acceptable, but less than anything that is. An
// element that is malformed names nothing.
func acceptEncoding(lines [][]byte) (w weights) {
	const unnamed = 1
	w.identity = unnamed
	var named [len(codings) + 1]bool
	var any uint16
	identityNamed := false
	for _, line := range lines {
		for len(line) > 0 {
			element := line
			if i := bytes.IndexByte(line, ','); i >= 0 {
				element, line = line[:i], line[i+1:]
			} else {
				line = nil
			}
			name, q, ok := weighted(element)
			switch i := codingNamed(name); {
			case !ok:
			case equalFold(name, "identity"):
				w.identity, identityNamed = q, true
			case len(name) == 1 && name[0] == '*':
				any, named[asterisk] = q, true
			case i >= 0:
				w.coding[i], named[i] = q, true
			}
		}
	}
	if !named[asterisk] {
		return w
	}
	for i := range w.coding {
		if !named[i] {
			w.coding[i] = any
		}
	}
	if !identityNamed && any == 0 {
		w.identity = 0
	}
	return w
}

// weighted reads `name` or `name;q=0.5`, with white space around its parts.
func weighted(element []byte) (name []byte, q uint16, ok bool) {
	name, parameter, has := bytes.Cut(element, []byte{';'})
	name = bytes.Trim(name, " \t")
	if !has {
		return name, 1000, len(name) > 0
	}
	parameter = bytes.Trim(parameter, " \t")
	if len(parameter) < 3 || parameter[0]|0x20 != 'q' || parameter[1] != '=' {
		return nil, 0, false
	}
	q, ok = qvalue(parameter[2:])
	return name, q, ok && len(name) > 0
}

// qvalue reads a weight: from 0 to 1, with three digits behind the point at the most.
func qvalue(b []byte) (q uint16, ok bool) {
	if len(b) == 0 || len(b) > len("0.000") || b[0] != '0' && b[0] != '1' || len(b) > 1 && b[1] != '.' {
		return 0, false
	}
	q = uint16(b[0]-'0') * 1000
	digit := uint16(100)
	for _, c := range b[min(2, len(b)):] {
		if c < '0' || c > '9' {
			return 0, false
		}
		q += uint16(c-'0') * digit
		digit /= 10
	}
	return q, q <= 1000
}

// codingNamed returns the number of a coding, -1 if it is none of ours.
func codingNamed(name []byte) int {
	for i := range codings {
		if equalFold(name, codings[i].name) {
			return i
		}
	}
	if equalFold(name, "x-gzip") { // section 8.4.1.3
		return gzipCoding
	}
	return -1
}

// equalFold is for names in ASCII; lower is in lower case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
