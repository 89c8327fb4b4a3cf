package fast

import (
	"net"
	"reflect"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"
)

// fields is where a RequestCtx keeps what belongs to its connection. fasthttp
// sets it for each ServeConn, of which a connection of ours may have many.
var fields = func() (f struct {
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

// Known reports whether this version of fasthttp has the fields that the others set. Where
// it does not, they must not be called.
func Known() bool { return fields.ok }

// SetConn gives ctx its connection.
func SetConn(ctx *fasthttp.RequestCtx, nc net.Conn) {
	*(*net.Conn)(unsafe.Add(unsafe.Pointer(ctx), fields.conn)) = nc
}

// SetTime says when ctx's request has come.
func SetTime(ctx *fasthttp.RequestCtx, t time.Time) {
	*(*time.Time)(unsafe.Add(unsafe.Pointer(ctx), fields.time)) = t
}

// SetIdentity gives ctx its connection's identity and age, and its own number there.
func SetIdentity(ctx *fasthttp.RequestCtx, id, num uint64, since time.Time) {
	p := unsafe.Pointer(ctx)
	*(*uint64)(unsafe.Add(p, fields.id)), *(*uint64)(unsafe.Add(p, fields.requestNum)) = id, num
	*(*time.Time)(unsafe.Add(p, fields.when)) = since
}

// Hijacker is where ctx keeps who is to have its connection.
func Hijacker(ctx *fasthttp.RequestCtx) *fasthttp.HijackHandler {
	return (*fasthttp.HijackHandler)(unsafe.Add(unsafe.Pointer(ctx), fields.hijack))
}

// NewConnID returns the identity of a connection.
func NewConnID() uint64 {
	var ctx fasthttp.RequestCtx
	ctx.Init2(nil, nil, true)
	return ctx.ConnID()
}
