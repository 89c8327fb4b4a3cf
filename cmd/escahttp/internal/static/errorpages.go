package static

import (
	"bytes"
	"path"
)

// ErrorPage is a page for answers with a status.
type ErrorPage struct {
	Status int
	// Match reports whether it is for a path; nil: for all.
	Match func(path []byte) bool
	// Page is the path of the file; without a slash in front it is a name that is looked
	// for in the folder of the path, and in those above.
	Page string
}

// errorPages sends pages of the site in the place of the short ones. They have neither a
// tag nor a time: the answer is about something that is not there.
type errorPages struct {
	*find
	pages []ErrorPage
}

// Finish is a Finisher.
func (e errorPages) Finish(r Request, a *Answer) {
	if a.Status < 400 {
		return
	}
	for i := range e.pages {
		p := &e.pages[i]
		if p.Status != a.Status || p.Match != nil && !p.Match(a.path) {
			continue
		}
		if p.Page[0] == '/' {
			if e.send(r, a, []byte(p.Page[1:])) {
				return
			}
			continue
		}
		folder := a.path
		for at := bytes.LastIndexByte(folder, '/'); at >= 0; at = bytes.LastIndexByte(folder, '/') {
			folder = folder[:at]
			if e.send(r, a, []byte(string(folder) + "/" + p.Page)[1:]) {
				return
			}
		}
	}
}

// send makes the file at name the body; false if it cannot be had.
func (e errorPages) send(r Request, a *Answer, name []byte) bool {
	v, _, err := e.files.get(name, r.Time())
	if err != nil {
		return false
	}
	if v.size < 0 || v.growing || v.itself() && v.once {
		v.letGo()
		return false
	}
	if a.Version != nil {
		a.Version.letGo()
	}
	a.Version, a.coding, a.Text = v, nil, nil
	a.ContentType = e.files.load.types.of(path.Ext(string(name)))
	a.only(Span{0, v.size})
	return true
}
