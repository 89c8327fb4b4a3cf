package static

import "net/http"

// present is a Step that has the file itself sent as it is now, where others have been sent in its
// place before (see files.represented). One that is gone meanwhile is not there.
type present struct{ *find }

func (p present) Decide(r Request, a *Answer) bool {
	if !a.again || !a.Version.itself() || !a.Version.represented.Load() {
		return false
	}
	var err error
	a.Version, a.again, err = p.files.present(a.Version, a.file, r.Time())
	switch {
	case err == nil:
		return false
	case nothing(err):
		a.Fail(http.StatusNotFound)
	default:
		p.fail(a, err)
	}
	return true
}
