//go:build linux && (amd64 || arm64)

package conn

import (
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// closeWith closes ln when inner, which it has taken over, is closed: the usual way
// to stop what serves a listener. That inner is closed nobody tells but what waits
// for it, so a goroutine waits until inner can be written to, which a listening
// socket never can.
func (ln *Listener) closeWith(inner net.Listener) {
	rc, err := asConn(inner).SyscallConn()
	for err == nil {
		err = rc.Write(func(uintptr) bool { return false })
		if errors.Is(err, os.ErrDeadlineExceeded) { // set for an Accept that never comes
			err = inner.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Time{})
		}
	}
	ln.Close()
}

// asConn returns inner as a connection on the same descriptor: package net lets
// nobody wait for a listener but by Accept, which would take connections, and wake for
// each of them in vain. Nil: inner is of another type.
func asConn(inner net.Listener) syscall.Conn {
	switch inner := inner.(type) {
	case *net.TCPListener:
		return (*net.TCPConn)(unsafe.Pointer(inner))
	case *net.UnixListener:
		return (*net.UnixConn)(unsafe.Pointer(inner))
	}
	return nil
}

// errLayout is nil if listeners and connections of package net begin, both, with the
// pointer to what does their work: asConn stands on it.
var errLayout = func() error {
	for _, of := range [][2]reflect.Type{
		{reflect.TypeFor[net.TCPListener](), reflect.TypeFor[net.TCPConn]()},
		{reflect.TypeFor[net.UnixListener](), reflect.TypeFor[net.UnixConn]()},
	} {
		ln, c := of[0].Field(0), of[1].Field(0).Type
		if of[1].NumField() != 1 || c.Kind() != reflect.Struct || c.NumField() != 1 ||
			c.Field(0).Type != ln.Type || ln.Type.Kind() != reflect.Pointer {
			return fmt.Errorf("esca: this version of Go (%s) has another %v: update esca, or use conn.Listen", runtime.Version(), of[0])
		}
	}
	return nil
}()
