// Package http1 is the end of static's decisions for HTTP/1, on fasthttp: it
// puts requests to them, and sends what they have decided.
//
//	End.Serve    a request that was read
//	End.Expect   one whose body is still to come, and is not asked for
//	End.Error    one that could not be read
package http1

import (
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/cmd/escahttp/internal/accesslog"
	"github.com/escahttp/esca/cmd/escahttp/internal/realip"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// Decider decides what a request is answered with.
type Decider interface {
	Decide(r static.Request, a *static.Answer)
}

// End answers requests. Any number of goroutines may use it.
type End struct {
	// Core decides.
	Core Decider
	// Proxies are those that are trusted; nil: none.
	Proxies *realip.Proxies
	// Log is the access log; nil: there is none.
	Log *accesslog.Log
	// Observe is told of each answer when it is complete or was broken off: its status, how
	// much of its body was sent, and how long it took. Nil: nobody is.
	Observe func(status int, sent int64, took time.Duration)
	// Logf is told of panics. Nil: nobody is.
	Logf func(format string, args ...any)

	gathering gathering
}

// exchange is one request and its answer.
type exchange struct {
	request
	answer static.Answer
	body   static.Body
	ending ending

	gathering *gathering
	gathered  int64 // what of it is this answer's
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// Serve answers ctx. It is a fasthttp.RequestHandler.
func (e *End) Serve(ctx *fasthttp.RequestCtx) {
	x := exchanges.Get().(*exchange)
	if e.decide(ctx, x) {
		e.send(ctx, x)
		return
	}
	x.answer.Close()
	e.fail(ctx, fasthttp.StatusInternalServerError)
}

// decide has the core decide; false if that has panicked: a bug there must not
// end the server.
func (e *End) decide(ctx *fasthttp.RequestCtx, x *exchange) (ok bool) {
	defer func() {
		if v := recover(); v != nil && e.Logf != nil {
			e.Logf("panic while serving %q: %v\n%s", ctx.RequestURI(), v, debug.Stack())
		}
	}()
	x.read(ctx, e.Proxies)
	e.Core.Decide(&x.request, &x.answer)
	return true
}

// send puts the answer into ctx. What is in memory is complete with that; other
// bodies are when fasthttp closes x.
func (e *End) send(ctx *fasthttp.RequestCtx, x *exchange) {
	a, resp := &x.answer, &ctx.Response
	if a.Len() < 0 && !ctx.Request.Header.IsHTTP11() && !a.Limit() {
		var err error
		x.gathering = &e.gathering
		if x.gathered, err = e.gathering.gather(a); err != nil {
			x.release()
			e.cannotGather(ctx, err)
			return
		}
	}
	resp.SetStatusCode(a.Status)
	if len(a.ContentType) == 0 {
		resp.Header.SetNoDefaultContentType(true)
	}
	resp.Header.SetContentTypeBytes(a.ContentType)
	for i := range a.Fields {
		resp.Header.SetCanonical(a.Fields[i].Name, a.Fields[i].Value)
	}
	ending := e.start(ctx, a.Status)
	n := a.Len()
	b, whole := a.Bytes()
	switch {
	case ctx.IsHead():
		resp.SkipBody = true
		resp.Header.SetContentLength(int(n))
		n = 0
	case whole && x.gathered == 0:
		resp.SetBodyRaw(b)
	default:
		x.ending = ending
		x.body.Copy = ctx.IsTLS()
		x.body.Take(a)
		// The header is queued by itself, and the file right behind it: one
		// crossing, no copy.
		resp.ImmediateHeaderFlush = len(a.Parts) == 1
		resp.SetBodyStream(x, int(n))
		a.Close()
		return
	}
	ending.finish(n)
	x.release()
}

// cannotGather answers a client that knows no chunks, and asks for what goes by no
// other way.
func (e *End) cannotGather(ctx *fasthttp.RequestCtx, err error) {
	switch {
	case errors.Is(err, errTooMany):
		e.fail(ctx, fasthttp.StatusServiceUnavailable)
		ctx.Response.Header.Set("Retry-After", "1")
	case errors.Is(err, errTooLong):
		e.fail(ctx, fasthttp.StatusHTTPVersionNotSupported)
	default:
		e.fail(ctx, fasthttp.StatusInternalServerError)
	}
}

// ending is what is to be done when an answer is complete.
type ending struct {
	line    *accesslog.Line
	observe func(status int, sent int64, took time.Duration)
	status  int
	began   time.Time
}

func (n *ending) finish(sent int64) {
	n.line.Finish(sent)
	if n.observe != nil {
		n.observe(n.status, sent, max(time.Since(n.began), 0))
	}
}

// start begins what ends with the answer: the line of the access log, and what is
// observed.
func (e *End) start(ctx *fasthttp.RequestCtx, status int) ending {
	if e.Log == nil && e.Observe == nil {
		return ending{}
	}
	n := ending{observe: e.Observe, status: status, began: ctx.Time()}
	if n.began.IsZero() {
		n.began = time.Now()
	}
	if e.Log != nil {
		n.line = e.startLine(ctx, status, n.began)
	}
	return n
}

func (e *End) startLine(ctx *fasthttp.RequestCtx, status int, began time.Time) *accesslog.Line {
	h := &ctx.Request.Header
	r := accesslog.Record{Peer: ctx.RemoteAddr(), Time: began, Status: status}
	if e.Proxies != nil {
		r.Client = e.Proxies.Client(peerOf(ctx), &request{ctx: ctx})
	}
	if len(h.Host()) > 0 || !h.IsHTTP11() {
		r.Method, r.URI, r.Proto = h.Method(), h.RequestURI(), h.Protocol()
		r.Referer, r.UserAgent, r.Host = h.Referer(), h.UserAgent(), h.Host()
	}
	return e.Log.Start(&r)
}

// fail answers with the page that says what status means.
func (e *End) fail(ctx *fasthttp.RequestCtx, status int) {
	ctx.Response.Reset()
	ctx.SetStatusCode(status)
	ctx.SetContentType("text/html; charset=utf-8")
	page := static.Page(status)
	ctx.Response.SetBodyRaw(page)
	n := len(page)
	if ctx.IsHead() {
		n = 0
	}
	ending := e.start(ctx, status)
	ending.finish(int64(n))
}

func (x *exchange) release() {
	x.answer.Close()
	if x.gathered > 0 {
		x.gathering.give(x.gathered)
		x.gathered = 0
	}
	x.ending, x.ctx = ending{}, nil
	exchanges.Put(x)
}
