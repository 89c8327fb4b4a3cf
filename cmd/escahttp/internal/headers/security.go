package headers

import "github.com/escahttp/esca/cmd/escahttp/internal/static"

// Security is a preset of header fields that are good for most sites, and break none that
// is built with care: browsers do not guess types, other sites do not learn paths and
// cannot frame pages, plugins and devices stay closed. Over TLS, browsers come by TLS for
// a year. What is set by rules comes after it, and can be otherwise.
type Security struct{}

var (
	preset = []static.Field{
		{Name: []byte("X-Content-Type-Options"), Value: []byte("nosniff")},
		{Name: []byte("X-Frame-Options"), Value: []byte("SAMEORIGIN")},
		{Name: []byte("Referrer-Policy"), Value: []byte("strict-origin-when-cross-origin")},
		{Name: []byte("Permissions-Policy"), Value: []byte("camera=(), geolocation=(), microphone=(), payment=(), usb=()")},
	}
	keyPolicy   = []byte("Content-Security-Policy")
	plainPolicy = []byte("base-uri 'self'; form-action 'self'; frame-ancestors 'self'; object-src 'none'")
	tlsPolicy   = append(plainPolicy[:len(plainPolicy):len(plainPolicy)], "; upgrade-insecure-requests"...)
	keyHSTS     = []byte("Strict-Transport-Security")
	valueHSTS   = []byte("max-age=31536000")
)

// Finish is a static.Finisher.
func (Security) Finish(r static.Request, a *static.Answer) {
	for i := range preset {
		a.Set(preset[i].Name, preset[i].Value)
	}
	if !r.Secure() {
		a.Set(keyPolicy, plainPolicy)
		return
	}
	a.Set(keyPolicy, tlsPolicy)
	a.Set(keyHSTS, valueHSTS)
}
