package http3

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2/hpack"

	"github.com/escahttp/esca/server/internal/fast"
	"github.com/escahttp/esca/server/internal/http1"
)

// serve serves a request: it is the http.Handler that quic-go has for each, on a goroutine
// of its own.
//
//	fields ─► head of HTTP/1.1 ─► fasthttp's ServeConn, over a line ─► its answer, taken apart
func (sv *serving) serve(w http.ResponseWriter, r *http.Request) {
	st := &stream{sv: sv, p: peerOf(r.Context()), r: r, w: w.(writer)}
	st.num = st.p.begin()
	defer st.p.end()
	defer st.end()
	if !st.begin() {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	st.out.To, st.out.Bare = st, st.in.Head
	ln, ended := &line{st: st}, false
	defer func() {
		if !ended { // the handler has panicked, or ended its goroutine, and quic-go does not get to it
			st.reset()
			fast.Forget(sv.own, ln)
		}
	}()
	err := sv.call(ln)
	ended = true
	if !st.out.Complete {
		sv.logError(st, err)
		panic(http.ErrAbortHandler) // by which quic-go resets the stream
	}
}

// call has fasthttp serve ln. A panic of a handler's ends its stream, not the process, as
// streams of one connection have nothing to do with each other.
func (sv *serving) call(ln *line) error {
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler {
				panic(v)
			}
			sv.logf("esca: panic while serving %s %q: %v\n%s", ln.st.r.Method, ln.st.r.RequestURI, v, debug.Stack())
			panic(http.ErrAbortHandler)
		}
	}()
	return sv.own.ServeConn(ln)
}

// begin makes of the request one of HTTP/1.1. False: it is none that can be one.
func (st *stream) begin() bool {
	r := st.r
	t := http1.Target{Method: r.Method, Scheme: "https", Host: r.Host, Path: r.RequestURI}
	if r.Method == http.MethodConnect {
		if r.Proto != "HTTP/3.0" { // an extended one, for another protocol
			return false
		}
		t.Scheme, t.Path = "", ""
	}
	_, sized := r.Header["Content-Length"]
	ended := false
	if !sized && r.Header.Get("Expect") == "" && !bodied(r.Method) {
		ended = st.look(st.sv.fs.ReadTimeout)
	}
	return st.in.Begin(st.sv.own, st, t, appendFields(make([]hpack.HeaderField, 0, len(r.Header)+1), r.Header, announced(r)), ended)
}

// bodied reports whether requests of the method have a body as a rule, which need not have
// begun when they are served.
func bodied(method string) bool {
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodConnect:
		return true
	}
	return false
}

// announced are the names of the trailers that r says it has, as quic-go took them apart.
func announced(r *http.Request) http.Header {
	if len(r.Trailer) == 0 {
		return nil
	}
	names := make([]string, 0, len(r.Trailer))
	for name := range r.Trailer {
		names = append(names, name)
	}
	return http.Header{"Trailer": {strings.Join(names, ", ")}}
}

// appendFields appends h to fields, in lower case as they came.
func appendFields(fields []hpack.HeaderField, all ...http.Header) []hpack.HeaderField {
	for _, h := range all {
		for name, values := range h {
			name = strings.ToLower(name)
			for _, v := range values {
				fields = append(fields, hpack.HeaderField{Name: name, Value: v})
			}
		}
	}
	return fields
}

// handle calls the user's handler.
func (st *stream) handle(ctx *fasthttp.RequestCtx) {
	own := ctx.Conn()
	if fast.Known() {
		fast.SetIdentity(ctx, st.p.id, st.num, st.p.when)
		fast.SetConn(ctx, st)
	}
	if st.in.Sized {
		ctx.Request.Header.SetContentLength(int(st.in.Length))
	}
	st.sv.fs.Handler(ctx)
	st.mu.Lock()
	st.returned = true
	st.mu.Unlock()
	if ctx.LastTimeoutErrorResponse() != nil {
		st.late = true
		return // ctx is the handler's still
	}
	if fast.Known() {
		fast.SetConn(ctx, own)
	}
	if ctx.Hijacked() {
		st.sv.logf("%v: %s %s", errNoHijack, ctx.Method(), ctx.Path())
		ctx.Hijack(nil)
		ctx.Response.Reset()
		ctx.Error(errNoHijack.Error(), fasthttp.StatusHTTPVersionNotSupported)
	}
}

// early gives ctx what a handler finds there, for a hook that comes before it; the result
// undoes it.
func early(ctx *fasthttp.RequestCtx) (undo func()) {
	ln, ok := ctx.Conn().(*line)
	if !ok || !fast.Known() {
		return func() {}
	}
	fast.SetIdentity(ctx, ln.st.p.id, ln.st.num-1, ln.st.p.when)
	fast.SetTime(ctx, time.Time{})
	fast.SetConn(ctx, ln.st)
	return func() { fast.SetConn(ctx, ln) }
}

// logError logs what a request has ended with, unless it is of the kind that clients cause
// all the time: fasthttp's rule.
func (sv *serving) logError(st *stream, err error) {
	if err == nil {
		return
	}
	var reset *http3.Error
	var idle *quic.IdleTimeoutError
	common := errors.As(err, &reset) || errors.As(err, &idle) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, fasthttp.ErrBadTrailer) || errors.Is(err, errClosed)
	if sv.fs.LogAllErrors || !common {
		sv.logf("error when serving %s over HTTP/3: %v", st.RemoteAddr(), err)
	}
}

// line is the connection that a ServeConn believes to have, of HTTP/1.1, with one request.
type line struct{ st *stream }

func (ln *line) Read(p []byte) (int, error)           { return ln.st.in.Read(p) }
func (ln *line) Write(p []byte) (int, error)          { return ln.st.out.Write(p) }
func (ln *line) LocalAddr() net.Addr                  { return ln.st.LocalAddr() }
func (ln *line) RemoteAddr() net.Addr                 { return ln.st.RemoteAddr() }
func (ln *line) SetDeadline(t time.Time) error        { return ln.st.SetDeadline(t) }
func (ln *line) SetReadDeadline(t time.Time) error    { return ln.st.SetReadDeadline(t) }
func (ln *line) SetWriteDeadline(t time.Time) error   { return ln.st.SetWriteDeadline(t) }
func (ln *line) ConnectionState() tls.ConnectionState { return ln.st.ConnectionState() }
func (ln *line) Handshake() error                     { return nil }

// Close does nothing: streams end otherwise.
func (ln *line) Close() error { return nil }
