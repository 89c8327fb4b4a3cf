package http3

import (
	"strconv"

	"github.com/valyala/fasthttp"
)

// AltSvc is the value of an Alt-Svc field that tells clients of another version of HTTP that
// HTTP/3 is spoken on this port of the same host. They remember it for a day.
func AltSvc(port int) string { return `h3=":` + strconv.Itoa(port) + `"; ma=86400` }

// Announce returns h with an Alt-Svc field of AltSvc(port) in what it answers over TLS,
// unless h has set one. It is for the server of HTTP/1.1 and HTTP/2: clients do not look for
// HTTP/3 unless they are told.
func Announce(h fasthttp.RequestHandler, port int) fasthttp.RequestHandler {
	value := AltSvc(port)
	return func(ctx *fasthttp.RequestCtx) {
		h(ctx)
		resp := ctx.LastTimeoutErrorResponse()
		if resp == nil { // otherwise that of ctx is the handler's still
			resp = &ctx.Response
		}
		if ctx.IsTLS() && len(resp.Header.Peek("Alt-Svc")) == 0 {
			resp.Header.Set("Alt-Svc", value)
		}
	}
}
