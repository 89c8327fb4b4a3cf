//go:build !unix

package static

// stat takes s from d.
func (d *descriptor) stat(s *stamp) error {
	fi, err := d.Stat()
	if err == nil {
		s.from(fi)
	}
	return err
}
