//go:build !linux

package static

import "os"

// directory is the one that is served, open. os.Root resolves paths beneath it;
// links that are absolute are not followed.
type directory struct {
	*descriptor
	root  *os.Root
	stamp stamp
}

func openDirectory(name string) (*directory, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	d := &directory{descriptor: newDescriptor(f, int(f.Fd()))}
	if err = d.stat(&d.stamp); err == nil {
		d.root, err = root.OpenRoot(".")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	d.also = d.root
	return d, nil
}

// file opens what is at path, for reading. A FIFO is not opened: that would wait
// for a writer.
func (d *directory) file(path string) (*descriptor, error) {
	fi, err := d.root.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.IsDir() && !fi.Mode().IsRegular() {
		return nil, errIrregular
	}
	f, err := d.root.Open(path)
	if err != nil {
		return nil, err
	}
	return newDescriptor(f, int(f.Fd())), nil
}

// look takes s of what is at path.
func (d *directory) look(path string, s *stamp) error {
	f, err := d.file(path)
	if err != nil {
		return err
	}
	defer f.letGo()
	return f.stat(s)
}
