package static

import (
	"sync"
	"sync/atomic"
	"time"
)

// root is the directory that is served. It is a name: builds remove and make it
// anew, and deployments point a link elsewhere. So what the name leads to is
// looked at (one stat, about a microsecond) by the first request after every,
// and before anything is said not to be there; if it is another directory than
// before, nothing of the old one counts any more.
type root struct {
	name  string
	every time.Duration // negative: each time
	logf  func(string, ...any)

	checked atomic.Int64 // when it was looked at, Unix nanoseconds
	used    atomic.Int64 // when something was last opened beneath it
	age     atomic.Int64 // how often it has become another
	looking sync.Mutex   // held while stat is under way

	mu  sync.Mutex
	dir *directory // nil: not open
	id  stamp      // of the directory that was seen last
	err error      // why there is none
}

// refresh looks at the name if it is time to; true if it leads elsewhere now.
func (r *root) refresh(now time.Time) bool {
	if r.every >= 0 && now.UnixNano()-r.checked.Load() < int64(r.every) {
		return false
	}
	if r.every < 0 {
		r.looking.Lock()
	} else if !r.looking.TryLock() {
		return false // whoever is at it may be waiting for a slow disk
	}
	defer r.looking.Unlock()
	return r.look(now)
}

// confirm looks at the name in any case; true if it leads elsewhere now, or has
// been found to since age was read.
func (r *root) confirm(now time.Time, age int64) bool {
	r.looking.Lock()
	defer r.looking.Unlock()
	return r.age.Load() != age || r.look(now)
}

func (r *root) look(now time.Time) (changed bool) {
	r.checked.Store(now.UnixNano())
	var s stamp
	err := s.takeName(r.name)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && r.err == nil && s.dev == r.id.dev && s.ino == r.id.ino && s.kind == folder {
		return false
	}
	if err != nil && r.err != nil {
		r.err = err
		return false
	}
	r.close()
	r.age.Add(1)
	if r.id = s; err != nil {
		r.logf("ROOT %s: %v: nothing is served until it is there again", r.name, err)
	} else if r.err != nil {
		r.logf("ROOT %s is there again", r.name)
	}
	r.err = err
	return true
}

// open returns the directory, for the caller to let go of, and its age.
func (r *root) open(now time.Time) (*directory, int64, error) {
	r.used.Store(now.UnixNano())
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dir == nil {
		d, err := openDirectory(r.name)
		if err != nil {
			return nil, 0, err
		}
		if d.stamp.dev != r.id.dev || d.stamp.ino != r.id.ino {
			r.age.Add(1)
			r.id = d.stamp
		}
		r.dir = d
	}
	r.dir.hold()
	return r.dir, r.age.Load(), nil
}

// rest closes the directory if nothing was opened beneath it since then, so that
// its file system can be unmounted; true if it is closed.
func (r *root) rest(since time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used.Load() < since.UnixNano() {
		r.close()
	}
	return r.dir == nil
}

func (r *root) close() {
	if r.dir != nil {
		r.dir.letGo()
		r.dir = nil
	}
}

// shut closes the directory.
func (r *root) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.close()
}
