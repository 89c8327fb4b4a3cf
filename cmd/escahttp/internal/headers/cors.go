package headers

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// CORS lets pages of other origins read the answers (the Fetch standard, section 3.2). It
// is a static.Step, which answers preflights, and a static.Finisher. Nothing is said of
// credentials: an answer that depends on who asks is not for others.
type CORS struct {
	any     bool
	origins []origin
}

// origin is SCHEME://HOST[:PORT], of which the host may begin with a *.
type origin struct{ scheme, rest []byte }

// ParseCORS reads origins, such as https://example.org or https://*.example.org; "*" is
// every one.
func ParseCORS(list []string) (*CORS, error) {
	c := &CORS{}
	for _, text := range list {
		if text == "*" {
			c.any = true
			continue
		}
		u, err := url.Parse(strings.Replace(text, "://*.", "://any.", 1))
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" || strings.Contains(u.Host, "*") {
			return nil, fmt.Errorf("%q is no origin: give SCHEME://HOST[:PORT], such as https://example.org or https://*.example.org, or *", text)
		}
		scheme, rest, _ := strings.Cut(strings.ToLower(text), "://")
		c.origins = append(c.origins, origin{[]byte(scheme + "://"), []byte(strings.TrimPrefix(rest, "*"))})
	}
	return c, nil
}

func (c *CORS) allows(from []byte) bool {
	if c.any {
		return true
	}
	for i := range c.origins {
		o := &c.origins[i]
		rest, ok := bytes.CutPrefix(from, o.scheme)
		switch {
		case !ok:
		case o.rest[0] != '.':
			if bytes.Equal(rest, o.rest) {
				return true
			}
		case len(rest) > len(o.rest) && rest[0] != '.' && bytes.HasSuffix(rest, o.rest) && !bytes.ContainsAny(rest, "/@"):
			return true
		}
	}
	return false
}

var (
	keyAllowOrigin   = []byte("Access-Control-Allow-Origin")
	keyAllowMethods  = []byte("Access-Control-Allow-Methods")
	keyAllowHeaders  = []byte("Access-Control-Allow-Headers")
	keyExposeHeaders = []byte("Access-Control-Expose-Headers")
	keyMaxAge        = []byte("Access-Control-Max-Age")
	keyOrigin        = []byte("Origin")
	valueAny         = []byte("*")
	valueMethods     = []byte("GET, HEAD")
	valueHeaders     = []byte("Accept, Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Range")
	valueExposed     = []byte("Accept-Ranges, Content-Encoding, Content-Length, Content-Range, ETag")
	valueMaxAge      = []byte("7200")
)

const preflightMethod = "Access-Control-Request-Method"

// Decide answers preflights.
func (c *CORS) Decide(r static.Request, a *static.Answer) bool {
	if string(r.Method()) != http.MethodOptions || len(r.Header("Origin")) == 0 || len(r.Header(preflightMethod)) == 0 {
		return false
	}
	a.Status, a.ContentType, a.Text = http.StatusNoContent, nil, nil
	if c.allows(r.Header("Origin")) {
		a.Set(keyAllowMethods, valueMethods)
		a.Set(keyAllowHeaders, valueHeaders)
		a.Set(keyMaxAge, valueMaxAge)
	}
	return true
}

// Finish says who may read the answer.
func (c *CORS) Finish(r static.Request, a *static.Answer) {
	if !c.any {
		a.Vary(keyOrigin)
	}
	from := r.Header("Origin")
	switch {
	case len(from) == 0 && !c.any || !c.allows(from):
		return
	case c.any:
		a.Set(keyAllowOrigin, valueAny)
	default:
		a.Set(keyAllowOrigin, bytes.Clone(from))
	}
	if a.Status != http.StatusNoContent {
		a.Set(keyExposeHeaders, valueExposed)
	}
}
