package static

import (
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mostLinks is how many links a path may lead over, as in the kernel.
const mostLinks = 40

func realPath(name string) (string, error) { return filepath.EvalSymlinks(name) }

// walk opens what is at path beneath d, component by component. It follows
// links itself, and keeps open the folders it has come through: ".." is the one
// before, wherever that has been moved to meanwhile, and above d there is none.
func (d *directory) walk(path string, flags int) (int, error) {
	way := trail{d.fd}
	defer way.leave()
	rest := strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		name, last := rest[0], len(rest) == 1
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			if !way.back() {
				return -1, unix.EXDEV
			}
			continue
		}
		fd, err := component(way.at(), name, flags, last)
		switch {
		case err == nil && last:
			return fd, nil
		case err == nil:
			way = append(way, fd)
			continue
		case err != unix.ELOOP && err != unix.ENOTDIR:
			return -1, err
		}
		if links++; links > mostLinks {
			return -1, unix.ELOOP
		}
		target, notLink := readLink(way.at(), name)
		switch {
		case notLink == unix.EINVAL && err == unix.ELOOP:
			target = name // it was one, and has just been replaced
		case notLink != nil:
			return -1, err
		case strings.HasPrefix(target, "/"):
			inside, ok := d.inside(target)
			if !ok {
				return -1, unix.EXDEV
			}
			way.leave()
			way, target = way[:1], inside
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return open(way.at(), ".", flags) // the path has ended at a folder
}

// component opens one component: the last one as it is wanted, the others as folders.
// A link is ELOOP or ENOTDIR.
func component(at int, name string, flags int, last bool) (int, error) {
	if !last {
		return open(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	}
	fd, err := open(at, name, flags|unix.O_NOFOLLOW)
	if err == nil && flags&unix.O_PATH != 0 && isLink(fd) {
		unix.Close(fd)
		return -1, unix.ELOOP
	}
	return fd, err
}

// trail is the folders that a walk has come through. The first is not its own.
type trail []int

func (t trail) at() int { return t[len(t)-1] }

// back goes back by one; false at the first.
func (t *trail) back() bool {
	n := len(*t) - 1
	if n == 0 {
		return false
	}
	unix.Close((*t)[n])
	*t = (*t)[:n]
	return true
}

// leave closes all but the first.
func (t *trail) leave() {
	for t.back() {
	}
}

func isLink(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK
}

func readLink(at int, name string) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(at, name, b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}
