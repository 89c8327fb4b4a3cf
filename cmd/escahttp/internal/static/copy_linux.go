package static

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// copyFrom makes v's file a copy of f in memory, sealed, if m has room for it. What
// is copied goes to w as well.
func (v *Version) copyFrom(f *descriptor, w io.Writer, m *memory) error {
	return v.copyOf(io.NewSectionReader(f, 0, v.size), w, m)
}

// copyOf is copyFrom, of what r has.
func (v *Version) copyOf(r io.Reader, w io.Writer, m *memory) error {
	if !m.take(v.size) {
		return errNoRoom
	}
	err := v.copyInto(r, w)
	if err != nil {
		m.give(v.size)
		return err
	}
	v.file.also, v.copy = taken{m, v.size}, true
	return nil
}

func (v *Version) copyInto(r io.Reader, w io.Writer) error {
	fd, err := unix.MemfdCreate("escahttp", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate("escahttp", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return err
	}
	to := newDescriptor(os.NewFile(uintptr(fd), "escahttp"), fd)
	to.memory = true
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	n, err := io.CopyBuffer(io.MultiWriter(to.File, w), struct{ io.Reader }{r}, *buf)
	if err == nil && n != v.size {
		err = errChanged
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		to.letGo()
		return err
	}
	v.file = to
	return nil
}

// generated reports whether fd is a file of a file system whose files have no
// true sizes and times.
func generated(fd int) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) != nil {
		return false
	}
	switch uint32(st.Type) {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC,
		unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.BPF_FS_MAGIC:
		return true
	}
	return false
}
