package http1

import (
	"time"

	"github.com/valyala/fasthttp"
)

// request is a static.Request. fasthttp has decoded the path, merged slashes and
// resolved dots.
type request struct{ ctx *fasthttp.RequestCtx }

func (r request) Method() []byte               { return r.ctx.Method() }
func (r request) Path() []byte                 { return r.ctx.Path() }
func (r request) Query() []byte                { return r.ctx.URI().QueryString() }
func (r request) Header(name string) []byte    { return r.ctx.Request.Header.Peek(name) }
func (r request) Headers(name string) [][]byte { return r.ctx.Request.Header.PeekAll(name) }

func (r request) Time() time.Time {
	if t := r.ctx.Time(); !t.IsZero() {
		return t
	}
	return time.Now() // before a body that is expected
}
