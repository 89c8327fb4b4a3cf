//go:build linux && (amd64 || arm64)

package conn

import (
	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// frame is a system call outside the table, with what its arguments point to.
// It lies on the heap, and keeps the caller's buffer there as well: an address
// in an Entry is not one to the compiler, and a stack may move.
type frame struct {
	poller.Entry
	hdr    unix.Msghdr
	iov    [2]unix.Iovec
	off    int64
	buf    []byte
	copied [2048]byte // what leaves right before a file, as a rule its header
}

// getFrame returns a frame for a call that reads or fills buf.
func (l *loop) getFrame(buf []byte) *frame {
	var f *frame
	if n := len(l.frames); n > 0 {
		f = l.frames[n-1]
		l.frames = l.frames[:n-1]
	} else {
		f = new(frame)
	}
	f.buf = buf
	return f
}

// call makes the call with the lock kept, so one that does not block, and returns its
// result.
func (l *loop) call(f *frame) int64 {
	l.be.Call(&f.Entry)
	l.stats.calls.CountCall(&f.Entry)
	return f.Ret
}

// putFrame gives f back, after its call.
func (l *loop) putFrame(f *frame) {
	f.buf = nil
	f.iov = [2]unix.Iovec{}
	l.frames = append(l.frames, f)
}
