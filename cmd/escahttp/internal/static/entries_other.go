//go:build !linux

package static

// entries returns what is in the folder at path, most of it at the most, and whether
// there is more. Links are what they lead to, beneath the root.
func (d *directory) entries(path string, most int) (list []entry, more bool, err error) {
	f, err := d.root.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	found, more, err := readSome(f, most)
	if err != nil {
		return nil, false, err
	}
	for _, e := range found {
		fi, err := d.root.Stat(path + "/" + e.Name())
		if err == nil && (fi.IsDir() || fi.Mode().IsRegular()) {
			list = append(list, entry{name: e.Name(), folder: fi.IsDir(), size: fi.Size(), mtime: fi.ModTime().UnixNano()})
		}
	}
	return list, more, nil
}
