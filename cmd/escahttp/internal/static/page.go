package static

import (
	"net/http"
	"sync"
)

var pages sync.Map // status → []byte

// Page returns the page, in HTML, that says what status means. It must not be
// changed.
func Page(status int) []byte {
	if p, ok := pages.Load(status); ok {
		return p.([]byte)
	}
	text := http.StatusText(status)
	p := []byte("<!doctype html><title>" + text + "</title><h1>" + text + "</h1>\n")
	pages.Store(status, p)
	return p
}
