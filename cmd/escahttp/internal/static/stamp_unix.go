//go:build unix

package static

import "golang.org/x/sys/unix"

// take takes s from a descriptor.
func (s *stamp) take(fd int) error {
	var st unix.Stat_t
	for {
		switch err := unix.Fstat(fd, &st); err {
		case nil:
			s.from(&st)
			return nil
		case unix.EINTR:
		default:
			return err
		}
	}
}

// takeName takes s of what a path leads to.
func (s *stamp) takeName(path string) error {
	var st unix.Stat_t
	for {
		switch err := unix.Stat(path, &st); err {
		case nil:
			s.from(&st)
			return nil
		case unix.EINTR:
		default:
			return err
		}
	}
}

func (s *stamp) from(st *unix.Stat_t) {
	*s = stamp{
		dev: uint64(st.Dev), ino: uint64(st.Ino), nlink: uint64(st.Nlink), size: int64(st.Size),
		mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(),
		mode: uint32(st.Mode), uid: st.Uid, gid: st.Gid,
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		s.kind = regular
	case unix.S_IFDIR:
		s.kind = folder
	}
}
