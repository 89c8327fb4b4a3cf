package static

import (
	"errors"
	"io/fs"
	"strings"
	"sync"
	"syscall"
	"time"
)

// notFound reports whether err means that there is nothing to serve at a path,
// as opposed to something that went wrong: also what lies outside the root, and
// names that no file can have.
func notFound(err error) bool {
	var pe *fs.PathError
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errIrregular) || errors.Is(err, syscall.EXDEV) ||
		errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.ELOOP) ||
		errors.Is(err, syscall.ENXIO) || errors.Is(err, fs.ErrInvalid) ||
		errors.As(err, &pe) && strings.Contains(pe.Err.Error(), "escapes from parent")
}

// exhausted reports whether err means that the process, or the machine, has run
// out of descriptors, or of memory for them.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}

// files knows versions by their path beneath the root. A name is looked at again
// when the last look at it is older than Revalidate, by whoever asks then; the
// others are not kept waiting for a slow disk.
type files struct {
	root *root // nil: all there is, is in known
	o    Options
	load loader

	mu    sync.RWMutex
	known map[string]*Version
	age   int64 // of the root that they were found beneath
	bytes int64 // of contents in memory
	open  int   // descriptors
	sweeper
}

func newFiles(r *root, o Options) *files {
	c := &files{root: r, o: o, known: make(map[string]*Version)}
	c.load.tags = newTags(o.Tagging, o.Logf)
	c.load.memory.most = o.CacheBytes
	c.load.types = o.Types
	return c
}

// get returns the present version of the file at name, for the caller to let go of, and
// whether it was there already.
func (c *files) get(name []byte, now time.Time) (v *Version, again bool, err error) {
	if v, again, err = c.represented(name, now); again && v.represented.Load() {
		return c.present(v, name, now)
	}
	return v, again, err
}

// represented is get, but for a file in whose place another version was sent before, coded or made
// of it: whether it was written over since its name was last looked at is not asked for each request,
// as little as it is of a copy in memory. Who sends the file itself asks present for that.
func (c *files) represented(name []byte, now time.Time) (v *Version, again bool, err error) {
	if c.root != nil && c.root.refresh(now) {
		c.clear()
	}
	c.mu.RLock()
	v = c.known[string(name)]
	if v != nil && !v.hold() {
		v = nil
	}
	c.mu.RUnlock()
	switch {
	case v != nil && (v.held || c.stands(v, name, now)):
		if v.fleeting() {
			v.used.Store(now.UnixNano())
		}
		return v, true, nil
	case c.root == nil && c.isDir(name):
		return nil, false, errDirectory
	case c.root == nil:
		return nil, false, fs.ErrNotExist
	}
	if v != nil {
		defer v.letGo()
	}
	v, err = c.find(string(name), v, now)
	return v, false, err
}

// stands reports whether v is still what is at name.
func (c *files) stands(v *Version, name []byte, now time.Time) bool {
	if last := v.checked.Load(); c.o.Revalidate < 0 || now.UnixNano()-last >= int64(c.o.Revalidate) && v.checked.CompareAndSwap(last, now.UnixNano()) {
		return c.leadsTo(v, string(name), now)
	}
	return !v.itself() || v.represented.Load() || c.isAsItWas(v)
}

// isAsItWas reports whether the open file v has not changed.
func (c *files) isAsItWas(v *Version) bool {
	var s stamp
	return v.file.stat(&s) == nil && s.same(&v.stamp) && !c.load.tags.awaited(v)
}

// present returns v, which represented has returned for name again, or what is there by now,
// as get does. It takes v over.
func (c *files) present(v *Version, name []byte, now time.Time) (_ *Version, again bool, err error) {
	if !v.itself() || c.isAsItWas(v) {
		return v, true, nil
	}
	defer v.letGo()
	v, err = c.find(string(name), v, now)
	return v, false, err
}

// leadsTo reports whether name leads to v, and FILE.etag is as it was. If there
// is no descriptor to look with, it is taken to.
func (c *files) leadsTo(v *Version, name string, now time.Time) bool {
	s, err := c.look(name, now)
	if exhausted(err) && c.shed() {
		s, err = c.look(name, now)
	}
	if exhausted(err) {
		return true
	}
	return err == nil && s.same(&v.stamp) && c.sidecarStands(v, name, now) && !c.load.tags.awaited(v)
}

func (c *files) look(name string, now time.Time) (s stamp, err error) {
	d, _, err := c.root.open(now)
	if err != nil {
		return s, err
	}
	defer c.watch()
	defer d.letGo()
	err = d.look(name, &s)
	return s, err
}

// sidecarStands reports whether FILE.etag is as it was when v was loaded.
func (c *files) sidecarStands(v *Version, name string, now time.Time) bool {
	if !c.load.tags.hasSidecar(name) {
		return true
	}
	s, err := c.look(sidecarName(name), now)
	if exhausted(err) {
		return true
	}
	if err != nil {
		s = stamp{}
	}
	return s.same(&v.sidecar)
}

// isDir reports whether files that are part of the program lie beneath name.
func (c *files) isDir(name []byte) bool {
	prefix := string(name) + "/"
	for n := range c.known {
		if strings.HasPrefix(n, prefix) {
			return true
		}
	}
	return false
}

// find opens what is at name, and keeps it in the place of before.
func (c *files) find(name string, before *Version, now time.Time) (*Version, error) {
	if c.drop(name, before); before != nil {
		c.dropDerived(name)
	}
	age := c.root.age.Load()
	v, err := c.openAt(name, before, now)
	if exhausted(err) && c.shed() {
		v, err = c.openAt(name, before, now)
	}
	if err != nil && notFound(err) && c.root.confirm(now, age) {
		c.clear()
		v, err = c.openAt(name, nil, now)
	}
	return v, err
}

func (c *files) openAt(name string, before *Version, now time.Time) (*Version, error) {
	d, age, err := c.root.open(now)
	if err != nil {
		return nil, err
	}
	defer c.watch()
	defer d.letGo()
	v, err := c.loadAt(d, name, d.file)
	if err != nil {
		return nil, err
	}
	v.checked.Store(now.UnixNano())
	v.used.Store(now.UnixNano())
	v.growing = v.growing || v.grownFrom(before, now)
	if !v.once && v.hold() {
		c.keep(name, v, age)
	}
	return v, nil
}

// loadAt loads what is at name, which open opens. A tag from FILE.etag is of the FILE that is there when it
// has been read: FILE is put in place first, and its tag behind it.
func (c *files) loadAt(d *directory, name string, open func(name string) (*descriptor, error)) (*Version, error) {
	for try := 1; ; try++ {
		f, err := open(name)
		if err != nil {
			return nil, err
		}
		v, err := c.load.load(name, f, d)
		if err != nil || v.sidecar == (stamp{}) {
			return v, err
		}
		var now stamp
		if d.look(name, &now) == nil && now.same(&v.stamp) {
			return v, nil
		}
		if try == mostTries {
			v.etag, v.once = nil, true
			return v, nil
		}
		v.letGo()
	}
}

// copied returns v, which was asked for at now, or if that was once more a copy in its
// place.
func (c *files) copied(v *Version, name []byte, now time.Time) *Version {
	if v.file == nil || v.copy || v.once || v.size > c.mostCopied() || !c.roomFor(v.size) || !v.copying.CompareAndSwap(false, true) {
		return v
	}
	age := c.root.age.Load()
	n, err := v.duplicate(&c.load.memory)
	if err != nil {
		v.copying.Store(!errors.Is(err, errNoRoom))
		return v // it is sent itself
	}
	n.hold()
	c.keep(string(name), n, age)
	v.letGo()
	return n
}

// roomFor reports whether a copy of size bytes may be made: a large one does not push
// others out.
func (c *files) roomFor(size int64) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return size <= copiedAlways || c.bytes+size <= c.o.CacheBytes
}

// keep puts v, which it takes over, in the place of what was there and, if need
// be, of others: whichever a map gives first, for a cache that is too small for
// what is asked for gains nothing by choosing. age is the root's when v was
// looked for.
func (c *files) keep(name string, v *Version, age int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(name)
	if age != c.root.age.Load() || v.weight() > c.o.CacheBytes {
		v.letGo()
		return
	}
	if c.age != age {
		c.clearLocked()
		c.age = age
	}
	c.known[name] = v
	c.bytes += v.weight()
	if v.file != nil {
		c.open++
	}
	const perEntry = 512 // path, header fields and map, roughly
	for other, o := range c.known {
		full := c.bytes+perEntry*int64(len(c.known)) > c.o.CacheBytes
		if !full && c.open <= c.o.OpenFiles {
			break
		}
		if other != name && (full || o.file != nil) {
			c.dropLocked(other)
		}
	}
}

// drop takes v, if it is still what is kept under name, out of the cache.
func (c *files) drop(name string, v *Version) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v != nil && c.known[name] == v {
		c.dropLocked(name)
	}
}

func (c *files) dropLocked(name string) {
	v := c.known[name]
	if v == nil {
		return
	}
	delete(c.known, name)
	v.isDropped.Store(true)
	c.bytes -= v.weight()
	if v.file != nil {
		c.open--
	}
	v.letGo()
}

// shed lets go of all descriptors; false if there were none.
func (c *files) shed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	had := c.open > 0
	for name, v := range c.known {
		if v.file != nil {
			c.dropLocked(name)
		}
	}
	return had
}

// clear forgets what was found beneath another root.
func (c *files) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clearLocked()
}

func (c *files) clearLocked() {
	for name := range c.known {
		c.dropLocked(name)
	}
}

// close lets go of everything.
func (c *files) close() {
	c.clear()
	c.stop()
	if c.root != nil {
		c.root.shut()
	}
}
