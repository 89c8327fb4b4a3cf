//go:build !unix

package static

import "os"

// takeName takes s of what a path leads to.
func (s *stamp) takeName(path string) error {
	fi, err := os.Stat(path)
	if err == nil {
		s.from(fi)
	}
	return err
}

// from takes what there is everywhere.
func (s *stamp) from(fi os.FileInfo) {
	*s = stamp{size: fi.Size(), mtime: fi.ModTime().UnixNano(), ctime: fi.ModTime().UnixNano(), mode: uint32(fi.Mode())}
	switch {
	case fi.Mode().IsRegular():
		s.kind = regular
	case fi.IsDir():
		s.kind = folder
	}
}
