//go:build linux && (amd64 || arm64)

package server

import (
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/server/internal/fast"
)

// fieldsKnownIn is the newest fasthttp whose unexported fields have been looked at:
// RequestCtx's c, connID, connRequestNum, connTime, time and hijackHandler, Server's nextProtos (internal/fast/fields.go, settings.go).
const fieldsKnownIn = "v1.78.0"

// What is read of fasthttp by offset is there. Where it is not, all works, but without
// bursts (each idle connection keeps its buffers), or without NextProto's handlers.
func TestFieldsOfFasthttp(t *testing.T) {
	const remedy = "fasthttp has moved it: change settings.go or internal/fast/fields.go"
	if !fast.Known() {
		t.Errorf("RequestCtx.c, connID, connRequestNum, connTime, time or hijackHandler: %s", remedy)
	}
	fs := &fasthttp.Server{}
	fs.NextProto("some", nil)
	if _, ok := nextProtos(fs)["some"]; !ok {
		t.Errorf("Server.nextProtos: %s", remedy)
	}
	if v := versionOf(t, "github.com/valyala/fasthttp", fasthttp.ListenAndServe); v != fieldsKnownIn {
		t.Errorf("fasthttp is %s, and its fields are known in %s: see that what it does with those named in settings.go is the same, then raise fieldsKnownIn", v, fieldsKnownIn)
	}
}

// versionOf reads the version of a module from where the source of one of its
// functions lies: a test binary has no list of its modules.
func versionOf(t *testing.T, module string, f any) string {
	pc := reflect.ValueOf(f).Pointer()
	file, _ := runtime.FuncForPC(pc).FileLine(pc)
	_, rest, ok := strings.Cut(file, module+"@")
	if version, _, more := strings.Cut(rest, "/"); ok && more {
		return version
	}
	t.Skipf("%s tells no version: %s is vendored or replaced", file, module)
	return ""
}

// What lasts of an idle connection beside its Conn (conn's TestConnIsSmall).
func TestSessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(session{}); n > 64 {
		t.Errorf("a session has %d bytes, and is allocated as more than 64", n)
	}
}
