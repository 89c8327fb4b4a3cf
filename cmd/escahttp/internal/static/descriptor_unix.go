//go:build unix

package static

// stat takes s from d.
func (d *descriptor) stat(s *stamp) error { return s.take(d.fd) }
