package static

import (
	"bytes"
	"net/http"
	"path"
	"runtime"
	"time"
	"weak"
)

// encodings chooses the representation: the file as it is, one that lies beside it
// coded (FILE.br, FILE.zst, FILE.gz), or one that is made of it and kept.
//
//	negotiable   is there a choice at all, and so a Vary
//	order        what the client accepts, best first; a file beside before what is to be made
//	beside       FILE.br, if it is not older than FILE
//	made         from the cache, or made now, unless all who make some are busy
//	alone        only FILE.br is there, and FILE is asked for
//
// A range is one of the identity: whoever asks for one gets that.
type encodings struct {
	files  *files
	beside bool  // files that lie beside others are looked for
	order  []int // codings that are made on the fly, as preferred
	logf   func(string, ...any)
	known  accepted
	busy   chan struct{} // of as many as may encode or decode at once
}

// leastEncoded is the size from which on it is worth to encode: what fits one packet
// gains nothing.
const leastEncoded = 1 << 10

func newEncodings(f *files, o Options) *encodings {
	return &encodings{files: f, beside: o.Precompressed, order: o.Encode, logf: o.Logf, busy: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

func (e *encodings) Decide(r Request, a *Answer) bool {
	if a.alone {
		return false
	}
	v, now := a.Version, r.Time()
	beside, fly := e.lie(v, a.file, now), e.encodable(v)
	if beside == 0 && !fly {
		return false
	}
	a.Vary(valueAcceptEncoding)
	lines := r.Headers("Accept-Encoding")
	if len(lines) == 0 {
		return false
	}
	w := e.known.of(lines)
	if w.identity > 0 && len(r.Header("Range")) > 0 && string(r.Method()) == "GET" {
		return false
	}
	for c := e.best(&w, beside, fly); c >= 0; c = e.best(&w, beside, fly) {
		if beside&(1<<c) != 0 {
			if e.take(a, c, now) {
				return false
			}
			beside &^= 1 << c
		} else {
			if e.make(a, c) {
				return false
			}
			w.coding[c] = 0
		}
	}
	if w.identity > 0 {
		return false
	}
	a.Fail(http.StatusNotAcceptable)
	return true
}

// best returns the coding that the client likes best, and at least as well as the
// identity; -1 if there is none. Of those that it likes equally, a file beside comes
// first.
func (e *encodings) best(w *weights, beside uint32, fly bool) int {
	best, most := -1, max(w.identity, 1)
	for c := range codings {
		if q := w.coding[c]; beside&(1<<c) != 0 && (q > most || q == most && best < 0) {
			best, most = c, q
		}
	}
	if fly {
		for _, c := range e.order {
			if q := w.coding[c]; q > most || q == most && best < 0 {
				best, most = c, q
			}
		}
	}
	return best
}

// lie returns which codings of the file at name lie beside it, a bit each. It is looked
// at as often as the file itself is.
func (e *encodings) lie(v *Version, name []byte, now time.Time) uint32 {
	if !e.beside || v.held || v.isDerived || e.files.root == nil {
		return 0
	}
	every, last := e.files.o.Revalidate, v.besideChecked.Load()
	if last != 0 && every >= 0 && (now.UnixNano()-last < int64(every) || !v.besideChecked.CompareAndSwap(last, now.UnixNano())) {
		return v.beside.Load()
	}
	found := uint32(0)
	if !isCoded(name) {
		for c := range codings {
			s, err := e.files.look(string(name)+codings[c].ext, now)
			if err == nil && s.kind == regular && s.mtime >= v.stamp.mtime {
				found |= 1 << c
			}
		}
	}
	v.beside.Store(found)
	v.besideChecked.Store(now.UnixNano())
	return found
}

// take makes the file that lies beside the answer's, coded by c, what is sent.
func (e *encodings) take(a *Answer, c int, now time.Time) bool {
	a.beside = append(append(a.beside[:0], a.file...), codings[c].ext...)
	v, again, err := e.files.get(a.beside, now)
	if err != nil {
		return false
	}
	if v.growing || v.generated() {
		v.letGo()
		return false
	}
	if a.Version != nil {
		a.contentType = a.Version.contentType
		a.Version.represented.Store(true)
		a.Version.letGo()
	}
	a.Version, a.file, a.again = v, a.beside, again
	a.coded(c, v.etag)
	return true
}

// coded says that the version is coded by c, and what has the tag plain.
func (a *Answer) coded(c int, plain []byte) {
	a.coding = &codings[c]
	a.codedTag = a.coding.appendTag(a.codedTag[:0], plain)
}

// encodable reports whether v is of a kind and size that is worth to encode.
func (e *encodings) encodable(v *Version) bool {
	return len(e.order) > 0 && v.compressible && v.size >= leastEncoded && v.size <= e.files.mostCopied() && !v.held && !v.generated()
}

// make makes what the answer's version is, coded by c, what is sent: from the cache, or
// encoded now. It does not if all who may encode are at it, nor if it saves nothing, nor
// while the file is still being written to.
func (e *encodings) make(a *Answer, c int) bool {
	v := a.Version
	before := v.codedBefore(c)
	n := before
	if n == nil {
		a.beside = appendDerived(a.beside[:0], a.file, c)
		n = e.files.derived(a.beside, v)
	}
	if n == nil {
		if v.once || v.growing || v.useless[c].Load() {
			return false
		}
		if n = e.encode(v, string(a.beside), c); n == nil {
			return false
		}
	}
	if n != before && !n.once {
		w := weak.Make(n)
		v.coded[c].Store(&w)
		v.represented.Store(true)
	}
	a.Version = n
	a.coded(c, v.etag)
	v.letGo()
	return true
}

// codedBefore returns what was made of v by coding c and is kept, for the caller to let go of; nil: it is to be
// looked for.
func (v *Version) codedBefore(c int) *Version {
	w := v.coded[c].Load()
	if w == nil {
		return nil
	}
	if n := w.Value(); n != nil && !n.isDropped.Load() && n.hold() {
		return n
	}
	return nil
}

// encode returns v, coded by c, for the caller to let go of; nil if there is none.
func (e *encodings) encode(v *Version, name string, c int) *Version {
	select {
	case e.busy <- struct{}{}:
		defer func() { <-e.busy }()
	default:
		return nil
	}
	age := e.files.root.age.Load()
	plain, err := v.bytes()
	if err != nil {
		return nil
	}
	b, err := codings[c].encode(plain)
	if err != nil || int64(len(b)) >= v.size {
		v.useless[c].Store(true)
		return nil
	}
	n := v.derive(b, &e.files.load.memory)
	if n.hold() {
		e.files.keep(name, n, age)
	}
	return n
}

// alone finds the file at name where it is there only coded; false if it is not, and
// done if the answer is complete.
func (e *encodings) alone(r Request, a *Answer, name []byte) (found, done bool) {
	if !e.beside || len(name) == 0 || isCoded(name) {
		return false, false
	}
	now, there := r.Time(), uint32(0)
	for c := range codings {
		if s, err := e.files.look(string(name)+codings[c].ext, now); err == nil && s.kind == regular {
			there |= 1 << c
		}
	}
	if there == 0 {
		return false, false
	}
	a.file, a.alone = name, true
	a.contentType = e.files.load.types.of(path.Ext(string(name)))
	a.Vary(valueAcceptEncoding)
	w := acceptEncoding(r.Headers("Accept-Encoding"))
	for c := e.best(&w, there, false); c >= 0; c = e.best(&w, there, false) {
		if e.take(a, c, now) {
			return true, false
		}
		there &^= 1 << c
		w.coding[c] = 0
	}
	if w.identity > 0 && e.decoded(a, name, now) {
		return true, false
	}
	a.Fail(http.StatusNotAcceptable)
	return true, true
}

// decoded has the answer send the file at name, decoded from one that is there coded.
func (e *encodings) decoded(a *Answer, name []byte, now time.Time) bool {
	for c := len(codings) - 1; c >= 0; c-- { // the quickest to decode first
		a.file = name
		if !e.take(a, c, now) {
			continue
		}
		coded := a.Version
		a.coding, a.file = nil, name
		a.beside = appendDerived(a.beside[:0], name, c)
		n := e.files.derived(a.beside, coded)
		if n == nil {
			n = e.decode(coded, string(a.beside), c)
		}
		a.Version = n
		coded.letGo()
		if n != nil {
			return true
		}
	}
	return false
}

// decode returns coded, which is at name without its extension, as it was before it was
// coded by c; nil if it cannot be, or would not fit.
func (e *encodings) decode(coded *Version, name string, c int) *Version {
	if coded.useless[c].Load() {
		return nil
	}
	e.busy <- struct{}{}
	defer func() { <-e.busy }()
	age := e.files.root.age.Load()
	b, err := coded.bytes()
	if err == nil {
		b, err = codings[c].decodeWithin(bytes.NewReader(b), e.files.mostCopied())
	}
	if err != nil {
		coded.useless[c].Store(true)
		e.logf("%q: %v: a client that does not accept %s gets 406", name[:len(name)-len(derivedMark)]+codings[c].ext, err, codings[c].name)
		return nil
	}
	n := coded.derive(b, &e.files.load.memory)
	n.etag = plainTag(coded.etag)
	if !n.once && n.hold() {
		e.files.keep(name, n, age)
	}
	return n
}

// plainTag is the tag of what was decoded from what has the tag coded.
func plainTag(coded []byte) []byte {
	if len(coded) == 0 {
		return nil
	}
	return append(append([]byte(nil), coded[:len(coded)-1]...), `-plain"`...)
}

var (
	keyContentEncoding  = []byte("Content-Encoding")
	valueAcceptEncoding = []byte("Accept-Encoding")
)
