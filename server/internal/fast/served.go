package fast

import (
	"net"
	"reflect"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/valyala/fasthttp"
)

// served is where a Server keeps the connections that it serves.
var served = func() (f struct {
	ok        bool
	mu, conns uintptr
}) {
	t := reflect.TypeFor[fasthttp.Server]()
	mu, ok1 := t.FieldByName("idleConnsMu")
	conns, ok2 := t.FieldByName("idleConns")
	f.ok = ok1 && ok2 && mu.Type == reflect.TypeFor[sync.Mutex]() && conns.Type == reflect.TypeFor[map[net.Conn]*atomic.Int64]()
	f.mu, f.conns = mu.Offset, conns.Offset
	return f
}()

// Forget has fs keep nothing of nc, whose ServeConn has not returned: a handler has panicked,
// or ended its goroutine. fs would have it for ever, and all that is reached from there. It
// does nothing with a version of fasthttp that keeps it otherwise.
func Forget(fs *fasthttp.Server, nc net.Conn) {
	if !served.ok {
		return
	}
	p := unsafe.Pointer(fs)
	mu := (*sync.Mutex)(unsafe.Add(p, served.mu))
	mu.Lock()
	defer mu.Unlock()
	delete(*(*map[net.Conn]*atomic.Int64)(unsafe.Add(p, served.conns)), nc)
}
