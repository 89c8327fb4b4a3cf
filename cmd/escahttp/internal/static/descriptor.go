package static

import (
	"io"
	"os"
	"sync/atomic"
	"syscall"
)

// descriptor is an open file that is closed when the last of its holders lets go
// of it. It begins with one holder.
type descriptor struct {
	*os.File
	fd      int // its number, on unix
	raw     syscall.RawConn
	memory  bool      // it is a copy in memory
	view    view      // of that
	also    io.Closer // closed with it, or nil
	holders atomic.Int32
}

func newDescriptor(f *os.File, fd int) *descriptor {
	d := &descriptor{File: f, fd: fd}
	d.raw, _ = f.SyscallConn() // which fails for no open file
	d.holders.Store(1)
	return d
}

// SyscallConn is File's, which makes a new one for each call.
func (d *descriptor) SyscallConn() (syscall.RawConn, error) { return d.raw, nil }

// InMemory reports whether reading d waits for no disk, as conn's ReadFrom asks.
func (d *descriptor) InMemory() bool { return d.memory }

// hold makes the caller a holder; false if the last one has let go meanwhile.
func (d *descriptor) hold() bool {
	for {
		n := d.holders.Load()
		if n == 0 {
			return false
		}
		if d.holders.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (d *descriptor) letGo() {
	if d.holders.Add(-1) == 0 {
		d.view.close()
		d.Close()
		if d.also != nil {
			d.also.Close()
		}
	}
}
