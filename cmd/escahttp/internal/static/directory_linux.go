package static

import (
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// directory is the one that is served, open. Paths are resolved beneath it, by
// the kernel where openat2 is to be had and links are relative; by walk for links
// that are absolute, and where openat2 is refused (before Linux 5.6, and by
// seccomp filters). Nothing outside is opened either way.
type directory struct {
	*descriptor
	stamp  stamp
	name   string // as it was given
	byWalk bool
}

// again bounds how often a resolution is repeated that a rename has disturbed.
const again = 16

func openDirectory(name string) (*directory, error) {
	fd, err := open(unix.AT_FDCWD, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	d := &directory{descriptor: newDescriptor(os.NewFile(uintptr(fd), name), fd), name: name}
	if err := d.stat(&d.stamp); err != nil {
		d.letGo()
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	switch self, err := d.beneath(".", unix.O_PATH); err {
	case nil:
		unix.Close(self)
	default:
		d.byWalk = true
	}
	return d, nil
}

// file opens what is at path, for reading. It does not wait: opening a FIFO
// would, for a writer. Nor does a terminal become ours.
func (d *directory) file(path string) (*descriptor, error) {
	fd, err := d.resolve(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return newDescriptor(os.NewFile(uintptr(fd), path), fd), nil
}

// look takes s of what is at path, without opening it.
func (d *directory) look(path string, s *stamp) error {
	fd, err := d.resolve(path, unix.O_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return s.take(fd)
}

func (d *directory) resolve(path string, flags int) (int, error) {
	if !d.byWalk {
		for range again {
			// EXDEV: a link is absolute, or leads outside. EAGAIN: a rename has
			// come between, and the kernel cannot say where .. leads.
			switch fd, err := d.beneath(path, flags); err {
			case unix.EXDEV:
				return d.walk(path, flags)
			case unix.EAGAIN, unix.EINTR:
			default:
				return fd, err
			}
		}
	}
	return d.walk(path, flags)
}

func (d *directory) beneath(path string, flags int) (int, error) {
	return unix.Openat2(d.fd, path, &unix.OpenHow{
		Flags:   uint64(flags) | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// open is openat, which a signal may interrupt on a slow file system.
func open(at int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(at, name, flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// inside returns the rest of an absolute path that leads into d, as the machine
// resolves it.
func (d *directory) inside(target string) (rest string, ok bool) {
	root, err := realPath(d.name)
	if err != nil {
		return "", false
	}
	to, err := realPath(target)
	if err != nil {
		return "", false
	}
	if to == root {
		return ".", true
	}
	return strings.CutPrefix(to, strings.TrimSuffix(root, "/")+"/")
}
