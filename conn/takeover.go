//go:build linux && (amd64 || arm64)

package conn

import (
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FromListener takes a listener of package net, a *net.TCPListener or a
// *net.UnixListener, onto loops. To close inner is to close the Listener, and the
// other way round; inner must not be accepted from, and a deadline of it means
// nothing. Both have the same socket, and with it the same options and backlog.
func FromListener(inner net.Listener, opts ...Option) (*Listener, error) {
	if ln, ok := inner.(*Listener); ok {
		return ln, nil
	}
	switch {
	case asConn(inner) == nil:
		return nil, fmt.Errorf("esca: a %T cannot be taken onto loops: give a *net.TCPListener, a *net.UnixListener or what conn.Listen returns", inner)
	case errLayout != nil:
		return nil, errLayout
	}
	f, err := inner.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	o, addr := buildOptions(opts), inner.Addr()
	tcp := addr.Network() != "unix"
	shares := tcp && !o.asked && sharesPort(int(f.Fd()))
	if shares && !taken.take(addr.String()) {
		o.loops = 1
	}
	ln, err := takeOver([]*os.File{f}, addr, o)
	if err != nil {
		if shares {
			taken.leave(addr.String())
		}
		return nil, err
	}
	ln.inner, ln.sharesPort = inner, shares
	go ln.closeWith(inner)
	return ln, nil
}

// takeOver makes a Listener of duplicates of files, one for each loop.
func takeOver(files []*os.File, addr net.Addr, o options) (*Listener, error) {
	var socks []int32
	for i := range o.loops {
		fd, err := unix.FcntlInt(files[i%len(files)].Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			closeAll(socks)
			return nil, os.NewSyscallError("dup", err)
		}
		socks = append(socks, int32(fd))
	}
	for _, fd := range socks[:len(files)] { // the others are these once more
		unix.SetNonblock(int(fd), true)
		if addr.Network() != "unix" {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
			if o.keepAlive > 0 {
				setKeepAlive(int(fd), o.keepAlive)
			}
		}
	}
	return newListener(addr.Network(), socks, addr, o)
}

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

// sharedPorts counts the Listeners, by address, that share their port with others of
// the process. A program that opens one for each processor is to have one loop for
// each, not processors times processors.
type sharedPorts struct {
	mu sync.Mutex
	n  map[string]int
}

var taken = sharedPorts{n: make(map[string]int)}

// take counts one more on a, and reports whether it is the only one.
func (s *sharedPorts) take(a string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n[a]++
	return s.n[a] == 1
}

func (s *sharedPorts) leave(a string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n[a]--; s.n[a] == 0 {
		delete(s.n, a)
	}
}

// sharesPort reports whether others may listen where fd does (SO_REUSEPORT).
func sharesPort(fd int) bool {
	on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT)
	return err == nil && on != 0
}
