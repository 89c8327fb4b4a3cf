package static

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// smallFile is the size up to which a file's contents are kept in memory: above
// it, sendfile costs less than the copies (at 20 KiB, a tenth of the whole).
const smallFile = 8 << 10

var errDirectory = errors.New("is a directory")

// errIrregular is for what is neither a file nor a directory.
var errIrregular = errors.New("is not a regular file")

// notFound reports whether err means that there is nothing to serve at a path,
// as opposed to something that went wrong: also what lies outside the root, and
// names that no file can have.
func notFound(err error) bool {
	var pe *fs.PathError
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errIrregular) ||
		errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.ELOOP) ||
		errors.Is(err, syscall.ENXIO) || errors.Is(err, fs.ErrInvalid) ||
		errors.As(err, &pe) && strings.Contains(pe.Err.Error(), "escapes from parent")
}

// cache knows files by their path beneath the root. A file is looked at again
// when its last look is older than Revalidate; whoever finds that does it.
type cache struct {
	root *os.Root // nil: all there is, is in files
	o    Options

	mu    sync.RWMutex
	files map[string]*file
	bytes int64 // of bodies
	open  int   // descriptors
}

func newCache(root *os.Root, o Options) *cache {
	if o.CacheBytes <= 0 {
		o.CacheBytes = 64 << 20
	}
	if o.OpenFiles <= 0 {
		o.OpenFiles = 512
	}
	if o.Revalidate == 0 {
		o.Revalidate = time.Second
	}
	return &cache{root: root, o: o, files: make(map[string]*file)}
}

// get returns the present version of the file at name, for the caller to release.
func (c *cache) get(name []byte, now time.Time) (*file, error) {
	c.mu.RLock()
	f := c.files[string(name)]
	fresh := f != nil && (f.fixed || now.UnixNano()-f.checked.Load() < int64(c.o.Revalidate)) && f.acquire()
	c.mu.RUnlock()
	if fresh {
		return f, nil
	}
	if c.root == nil {
		if c.isDir(name) {
			return nil, errDirectory
		}
		return nil, fs.ErrNotExist
	}
	return c.look(string(name), f, now)
}

// isDir reports whether files of an fs.FS lie beneath name.
func (c *cache) isDir(name []byte) bool {
	prefix := string(name) + "/"
	for n := range c.files {
		if strings.HasPrefix(n, prefix) {
			return true
		}
	}
	return false
}

// look opens name, and takes it in if it is not the version that is known.
func (c *cache) look(name string, known *file, now time.Time) (*file, error) {
	if known != nil {
		if fi, err := c.root.Stat(name); err == nil && known.same(fi) && known.acquire() {
			known.checked.Store(now.UnixNano())
			return known, nil
		}
		c.drop(name, known)
	}
	// Not blocking: opening a FIFO would wait for a writer.
	osf, err := c.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	f, err := load(name, osf)
	if err != nil {
		osf.Close()
		return nil, err
	}
	f.checked.Store(now.UnixNano())
	if f.f != nil {
		f.refs.Store(2)
	}
	c.keep(name, f)
	return f, nil
}

// load makes a version of an open file, which it closes if it is small.
func load(name string, osf *os.File) (*file, error) {
	for try := 0; ; try++ {
		fi, err := osf.Stat()
		switch {
		case err != nil:
			return nil, err
		case fi.IsDir():
			return nil, errDirectory
		case !fi.Mode().IsRegular():
			return nil, errIrregular
		}
		f := &file{size: fi.Size(), head: newHead(name, fi.ModTime(), fi.Size(), inodeOf(fi))}
		if f.size > smallFile {
			f.f = osf
			return f, nil
		}
		f.body = make([]byte, f.size)
		if _, err := osf.ReadAt(f.body, 0); err != nil && err != io.EOF {
			return nil, err
		}
		// A file that was written to meanwhile is read again: its tag must
		// not stand for a mixture. One that is written to all the time has no
		// version that could be had, and is looked at again soon.
		if fi, err := osf.Stat(); err == nil && (f.same(fi) || try == 8) {
			osf.Close()
			return f, nil
		}
	}
}

// keep puts f in the cache, in the place of what was there and, if need be, of
// others: whichever a map gives first, for a cache that is too small for what is
// asked for gains nothing by choosing.
func (c *cache) keep(name string, f *file) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(name)
	if int64(len(f.body)) > c.o.CacheBytes {
		return
	}
	c.files[name] = f
	c.bytes += int64(len(f.body))
	if f.f != nil {
		c.open++
	}
	const perEntry = 512 // path, headers and map, roughly
	for other := range c.files {
		if c.bytes+perEntry*int64(len(c.files)) <= c.o.CacheBytes && c.open <= c.o.OpenFiles {
			break
		}
		if other != name {
			c.dropLocked(other)
		}
	}
}

// drop takes f, if it is still what is kept under name, out of the cache.
func (c *cache) drop(name string, f *file) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files[name] == f {
		c.dropLocked(name)
	}
}

func (c *cache) dropLocked(name string) {
	f := c.files[name]
	if f == nil {
		return
	}
	delete(c.files, name)
	c.bytes -= int64(len(f.body))
	if f.f != nil {
		c.open--
		f.release()
	}
}

func (c *cache) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.files {
		c.dropLocked(name)
	}
	if c.root == nil {
		return nil
	}
	return c.root.Close()
}
