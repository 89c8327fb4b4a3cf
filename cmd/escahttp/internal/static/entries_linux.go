package static

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// entries returns what is in the folder at path, most of it at the most, and whether
// there is more. Links are what they lead to, beneath the root.
func (d *directory) entries(path string, most int) (list []entry, more bool, err error) {
	fd, err := d.resolve(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK)
	if err != nil {
		return nil, false, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	found, more, err := readSome(f, most)
	if err != nil {
		return nil, false, err
	}
	for _, e := range found {
		var st unix.Stat_t
		var s stamp
		if err := unix.Fstatat(fd, e.Name(), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			continue // it has gone meanwhile
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			if d.look(path+"/"+e.Name(), &s) != nil {
				continue // it leads nowhere, or outside
			}
		} else {
			s.from(&st)
		}
		if s.kind != other {
			list = append(list, entry{name: e.Name(), folder: s.kind == folder, size: s.size, mtime: s.mtime})
		}
	}
	return list, more, nil
}
