package static

import (
	"io"
	"os"
	"sync/atomic"
)

// descriptor is an open file that is closed when the last of its holders lets go
// of it. It begins with one holder.
type descriptor struct {
	*os.File
	fd      int       // its number, on unix
	also    io.Closer // closed with it, or nil
	holders atomic.Int32
}

func newDescriptor(f *os.File, fd int) *descriptor {
	d := &descriptor{File: f, fd: fd}
	d.holders.Store(1)
	return d
}

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
		d.Close()
		if d.also != nil {
			d.also.Close()
		}
	}
}
