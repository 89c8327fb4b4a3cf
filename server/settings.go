//go:build linux && (amd64 || arm64)

package server

import (
	"log"
	"net"
	"os"
	"reflect"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/server/internal/fast"
)

// settings returns a server with fs's settings, less what bursts cannot know:
// that is seen to per connection, in session.
func (sv *serving) settings() *fasthttp.Server {
	ls := fast.Copy(sv.fs)
	ls.Handler = sv.handle
	ls.ConnState = sv.connState
	if h := ls.ExpectHandler; h != nil {
		ls.ExpectHandler = func(ctx *fasthttp.RequestCtx) int { defer early(ctx)(); return h(ctx) }
	}
	if h := ls.ErrorHandler; h != nil {
		ls.ErrorHandler = func(ctx *fasthttp.RequestCtx, err error) { defer early(ctx)(); h(ctx, err) }
	}
	ls.MaxConnsPerIP = 0
	ls.MaxRequestsPerConn = 0
	ls.TCPKeepalive = false
	for proto, h := range nextProtos(sv.fs) {
		ls.NextProto(proto, h)
	}
	if ls.Concurrency > 0 {
		// Connections are counted when they are accepted; a burst must not be
		// refused because another loop's count has not gone down yet.
		ls.Concurrency = max(ls.Concurrency, fasthttp.DefaultConcurrency)
	}
	return ls
}

// nextProtos reads the handlers that fs.NextProto was given, which fasthttp has
// no other way to ask for.
func nextProtos(fs *fasthttp.Server) map[string]fasthttp.ServeHandler {
	f := reflect.ValueOf(fs).Elem().FieldByName("nextProtos")
	m, _ := readField[map[string]fasthttp.ServeHandler](f)
	return m
}

func readField[T any](f reflect.Value) (v T, ok bool) {
	if !f.IsValid() || f.Type() != reflect.TypeFor[T]() {
		return v, false
	}
	return *(*T)(unsafe.Pointer(f.UnsafeAddr())), true
}

// restore gives ctx its connection, and that one's number, age and identity: ServeConn sets
// them, which for us is each burst, so it is done right before the handler runs. If a version
// of fasthttp has other fields, connections keep their worker, and with it the right values,
// for life.
func (ss *session) restore(ctx *fasthttp.RequestCtx) {
	if !fast.Known() {
		return
	}
	if ss.id == 0 { // its first request
		ss.id = ctx.ConnID()
	}
	fast.SetIdentity(ctx, ss.id, ss.requests.Load(), ss.b.Since())
	fast.SetConn(ctx, ss.nc())
}

// early gives ctx its connection, and that one's age, for a hook that comes before the
// handler; the result undoes it. Identity and number are those of the connection's last
// request, as on fasthttp's own server (zero at its first); the time of this one is not
// known yet, and zero.
func early(ctx *fasthttp.RequestCtx) (undo func()) {
	nc := ctx.Conn()
	if !fast.Known() {
		return func() {}
	}
	if ln := lineOf(nc); ln != nil {
		return ln.early(ctx)
	}
	ss := sessionOf(nc)
	id := ss.id
	if ss.requests.Load() == 0 { // a line's further connections have theirs already
		id = 0
	}
	fast.SetIdentity(ctx, id, ss.requests.Load(), ss.b.Since())
	fast.SetTime(ctx, time.Time{})
	fast.SetConn(ctx, ss.nc())
	return func() { fast.SetConn(ctx, nc) }
}

var defaultLogger = fasthttp.Logger(log.New(os.Stderr, "", log.LstdFlags))

func (sv *serving) logf(format string, args ...any) {
	logger := sv.fs.Logger
	if logger == nil {
		logger = defaultLogger
	}
	logger.Printf(format, args...)
}

// ipOf returns the key that connections of one client share; false if it has no
// address.
func ipOf(a net.Addr) (key [16]byte, ok bool) {
	ta, is := a.(*net.TCPAddr)
	if !is {
		return key, false
	}
	ip := ta.IP.To16()
	copy(key[:], ip)
	return key, ip != nil
}
