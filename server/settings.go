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
)

// settings returns a server with fs's settings, less what bursts cannot know:
// that is seen to per connection, in session.
func (sv *serving) settings() *fasthttp.Server {
	ls := &fasthttp.Server{}
	from, to := reflect.ValueOf(sv.fs).Elem(), reflect.ValueOf(ls).Elem()
	for i := range from.NumField() {
		if from.Type().Field(i).IsExported() {
			to.Field(i).Set(from.Field(i))
		}
	}
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
	if ls.TLSConfig != nil {
		ls.TLSConfig = ls.TLSConfig.Clone()
	}
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

// ctxFields is where a RequestCtx keeps what belongs to its connection. fasthttp
// sets it for each ServeConn, which for us is each burst, so it is set right
// before the handler runs. If a version of fasthttp has other fields,
// connections keep their worker, and with it the right values, for life.
var ctxFields = func() (f struct {
	ok                                       bool
	id, requestNum, when, conn, time, hijack uintptr
}) {
	t := reflect.TypeFor[fasthttp.RequestCtx]()
	id, ok1 := t.FieldByName("connID")
	num, ok2 := t.FieldByName("connRequestNum")
	when, ok3 := t.FieldByName("connTime")
	c, ok4 := t.FieldByName("c")
	now, ok5 := t.FieldByName("time")
	hijack, ok6 := t.FieldByName("hijackHandler")
	f.ok = ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && now.Type == reflect.TypeFor[time.Time]() && hijack.Type == reflect.TypeFor[fasthttp.HijackHandler]() && c.Type == reflect.TypeFor[net.Conn]() &&
		id.Type == reflect.TypeFor[uint64]() && num.Type == reflect.TypeFor[uint64]() && when.Type == reflect.TypeFor[time.Time]()
	f.id, f.requestNum, f.when, f.conn, f.time, f.hijack = id.Offset, num.Offset, when.Offset, c.Offset, now.Offset, hijack.Offset
	return f
}()

// setConn gives ctx its connection.
func setConn(ctx *fasthttp.RequestCtx, nc net.Conn) {
	*(*net.Conn)(unsafe.Add(unsafe.Pointer(ctx), ctxFields.conn)) = nc
}

// restore gives ctx its connection, and that one's number, age and identity.
func (ss *session) restore(ctx *fasthttp.RequestCtx) {
	if !ctxFields.ok {
		return
	}
	p := unsafe.Pointer(ctx)
	id := (*uint64)(unsafe.Add(p, ctxFields.id))
	if ss.id == 0 { // its first request
		ss.id = *id
	}
	setIdentity(ctx, ss.id, ss.requests.Load(), ss.b.Since())
	setConn(ctx, ss.nc)
}

// setTime says when ctx's request has come.
func setTime(ctx *fasthttp.RequestCtx, t time.Time) {
	*(*time.Time)(unsafe.Add(unsafe.Pointer(ctx), ctxFields.time)) = t
}

// setIdentity gives ctx its connection's identity and age, and its own number there.
func setIdentity(ctx *fasthttp.RequestCtx, id, num uint64, since time.Time) {
	p := unsafe.Pointer(ctx)
	*(*uint64)(unsafe.Add(p, ctxFields.id)), *(*uint64)(unsafe.Add(p, ctxFields.requestNum)) = id, num
	*(*time.Time)(unsafe.Add(p, ctxFields.when)) = since
}

// early gives ctx its connection, and that one's age, for a hook that comes before the
// handler; the result undoes it. Identity and number are those of the connection's last
// request, as on fasthttp's own server (zero at its first); the time of this one is not
// known yet, and zero.
func early(ctx *fasthttp.RequestCtx) (undo func()) {
	nc := ctx.Conn()
	if !ctxFields.ok {
		return func() {}
	}
	if ln := lineOf(nc); ln != nil {
		return ln.early(ctx)
	}
	ss := sessionOf(nc)
	p := unsafe.Pointer(ctx)
	id := ss.id
	if ss.requests.Load() == 0 { // a line's further connections have theirs already
		id = 0
	}
	*(*uint64)(unsafe.Add(p, ctxFields.id)), *(*uint64)(unsafe.Add(p, ctxFields.requestNum)) = id, ss.requests.Load()
	*(*time.Time)(unsafe.Add(p, ctxFields.when)), *(*time.Time)(unsafe.Add(p, ctxFields.time)) = ss.b.Since(), time.Time{}
	setConn(ctx, ss.nc)
	return func() { setConn(ctx, nc) }
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
