package paths

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"

	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// HTTPS sends clients that come without TLS to where it is spoken, at the same name. It is
// a static.Step.
type HTTPS struct {
	// Port is where it is spoken.
	Port int
}

// challenges are asked for without TLS, to get a certificate (RFC 8555, section 8.3).
var challenges = []byte("/.well-known/acme-challenge/")

// Decide is a static.Step.
func (h HTTPS) Decide(r static.Request, a *static.Answer) bool {
	if r.Secure() || bytes.HasPrefix(r.Path(), challenges) {
		return false
	}
	name := hostname(r.Host())
	if name == "" {
		a.Fail(http.StatusBadRequest)
		return true
	}
	to := "https://" + name
	if h.Port != 443 {
		to += ":" + strconv.Itoa(h.Port)
	}
	to += (&url.URL{Path: string(r.Path())}).EscapedPath()
	if q := r.Query(); len(q) > 0 {
		to += "?" + string(q)
	}
	a.Set(keyLocation, []byte(to))
	a.Fail(http.StatusMovedPermanently)
	return true
}

// hostname returns host without its port; "" if it is none.
func hostname(host []byte) string {
	for _, c := range host {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_', c == ':', c == '[', c == ']':
		default:
			return ""
		}
	}
	if i := bytes.LastIndexByte(host, ':'); i >= 0 && !bytes.HasSuffix(host, []byte{']'}) {
		host = host[:i]
	}
	return string(host)
}
