package access

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/escahttp/esca/cmd/escahttp/internal/pattern"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// Passwords asks for a name and a password (RFC 7617), which are in an htpasswd file. It
// is a static.Step.
//
// A check costs milliseconds, by design. One that was passed is remembered, as a keyed
// hash, until the file changes; the others are made a few at a time, and who comes when
// too many wait is asked to come again.
type Passwords struct {
	rules []passwordRule
	key   []byte
	busy  chan struct{} // of as many as may be checked at once
	queue atomic.Int32
}

type passwordRule struct {
	pattern.Pattern
	*userFile
}

const (
	// mostQueued bounds how many checks wait.
	mostQueued = 64
	// mostPassed bounds how many passed checks are remembered.
	mostPassed = 10_000
)

// ParsePasswords reads rules of the form [PATTERN] FILE. logf is told of files that have
// become unreadable.
func ParsePasswords(rules []string, logf func(format string, args ...any)) (*Passwords, error) {
	p := &Passwords{key: make([]byte, sha256.Size), busy: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	rand.Read(p.key)
	files := map[string]*userFile{}
	for _, text := range rules {
		pat, name, err := cut(text)
		if err == nil && name == "" {
			err = errors.New("it names no file: give [PATTERN] FILE")
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		if files[name] == nil {
			if files[name], err = openUsers(name, logf); err != nil {
				return nil, err
			}
		}
		p.rules = append(p.rules, passwordRule{pat, files[name]})
	}
	return p, nil
}

// Decide is a static.Step. All rules that cover a path have to be passed.
func (p *Passwords) Decide(r static.Request, a *static.Answer) bool {
	for i := range p.rules {
		rule := &p.rules[i]
		if !covers(&rule.Pattern, r, a) {
			continue
		}
		name, password, ok := credentials(r.Header("Authorization"))
		if ok {
			switch p.passes(rule.userFile, name, password, r.Time()) {
			case passed:
				continue
			case tooMany:
				a.Set(keyRetryAfter, []byte("1"))
				a.Fail(http.StatusServiceUnavailable)
				return true
			}
		}
		a.Set(keyAuthenticate, valueBasic)
		a.Fail(http.StatusUnauthorized)
		return true
	}
	return false
}

type result int

const (
	wrong result = iota
	passed
	tooMany
)

func (p *Passwords) passes(f *userFile, name, password string, now time.Time) result {
	u := f.current(now)
	sum := p.sum(name, password)
	if u.remembers(sum) {
		return passed
	}
	if p.queue.Add(1) > mostQueued {
		p.queue.Add(-1)
		return tooMany
	}
	p.busy <- struct{}{}
	defer func() { <-p.busy; p.queue.Add(-1) }()
	if u.check(name, password) != nil {
		return wrong
	}
	u.remember(sum)
	return passed
}

func (p *Passwords) sum(name, password string) (s [sha256.Size]byte) {
	h := hmac.New(sha256.New, p.key)
	fmt.Fprintf(h, "%d:%s%s", len(name), name, password)
	h.Sum(s[:0])
	return s
}

// credentials reads the value of Authorization.
func credentials(field []byte) (name, password string, ok bool) {
	scheme, rest, _ := bytes.Cut(field, []byte{' '})
	if !bytes.EqualFold(scheme, []byte("Basic")) {
		return "", "", false
	}
	b, err := base64.StdEncoding.DecodeString(string(bytes.Trim(rest, " ")))
	if err != nil {
		return "", "", false
	}
	n, pw, ok := bytes.Cut(b, []byte{':'})
	return string(n), string(pw), ok
}

// userFile is an htpasswd file, which is read again when it has changed.
type userFile struct {
	name    string
	logf    func(format string, args ...any)
	now     atomic.Pointer[known]
	checked atomic.Int64 // Unix nanoseconds
}

// known are the users of one version of a file, and who has passed.
type known struct {
	*users
	mtime time.Time
	size  int64

	mu     sync.RWMutex
	passed map[[sha256.Size]byte]bool
}

func openUsers(name string, logf func(format string, args ...any)) (*userFile, error) {
	f := &userFile{name: name, logf: logf}
	k, err := f.read()
	if err != nil {
		return nil, err
	}
	f.now.Store(k)
	return f, nil
}

func (f *userFile) read() (*known, error) {
	k := &known{passed: map[[sha256.Size]byte]bool{}}
	var err error
	k.mtime, k.size = stat(f.name)
	k.users, err = readUsers(f.name)
	return k, err
}

// lookEvery is how often a file is looked at.
const lookEvery = time.Second

// current returns the users, of the file as it is now. One that cannot be read leaves
// those before.
func (f *userFile) current(now time.Time) *known {
	k := f.now.Load()
	last := f.checked.Load()
	if now.UnixNano()-last < int64(lookEvery) || !f.checked.CompareAndSwap(last, now.UnixNano()) {
		return k
	}
	if mtime, size := stat(f.name); mtime.Equal(k.mtime) && size == k.size {
		return k
	}
	fresh, err := f.read()
	if err != nil {
		f.logf("--basic-auth: %v: those before are used on", err)
		return k
	}
	f.now.Store(fresh)
	return fresh
}

func (k *known) remembers(sum [sha256.Size]byte) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.passed[sum]
}

func (k *known) remember(sum [sha256.Size]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.passed) >= mostPassed {
		clear(k.passed)
	}
	k.passed[sum] = true
}

var (
	keyAuthenticate = []byte("WWW-Authenticate")
	valueBasic      = []byte(`Basic realm="restricted", charset="UTF-8"`)
	keyRetryAfter   = []byte("Retry-After")
)
