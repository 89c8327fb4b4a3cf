//go:build linux && (amd64 || arm64)

package conn

import (
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// sendfileMost bounds one sendfile, and with it how long a loop is kept.
const sendfileMost = 256 << 10

// ReadFrom sends what r has until it ends. An *os.File, an *io.SectionReader of
// one (whose offset it uses, not the file's: a descriptor may so be shared), or
// an *io.LimitedReader of either goes by sendfile; what is queued before it
// leaves in the same crossing. Anything else is copied.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	if s, ok := fileSource(r); ok {
		n, handled, err := c.sendFile(s)
		if handled {
			if err != nil {
				err = c.opError("write", err)
			}
			return n, err
		}
	}
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{r}, *buf)
}

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// source is a part of a file.
type source struct {
	f       file
	section *io.SectionReader // whose position counts, or nil: the file's own
	limited *io.LimitedReader // to be charged, or nil
	off     int64             // in the file, with a section
	n       int64             // bytes at most
}

// file is an *os.File, also in the guise in which os.File.WriteTo hands it on.
type file interface {
	syscall.Conn
	Stat() (os.FileInfo, error)
}

// fileSource takes r apart, if there is a file in it.
func fileSource(r io.Reader) (s source, ok bool) {
	s.n = 1<<63 - 1
	if lr, is := r.(*io.LimitedReader); is {
		s.limited, s.n, r = lr, max(lr.N, 0), lr.R
	}
	switch r := r.(type) {
	case file:
		s.f = r
	case *io.SectionReader:
		at, base, size := r.Outer()
		f, is := at.(file)
		pos, err := r.Seek(0, io.SeekCurrent)
		if !is || err != nil {
			return s, false
		}
		s.f, s.section, s.off, s.n = f, r, base+pos, min(s.n, max(size-pos, 0))
	}
	return s, s.f != nil
}

// sendFile sends s. handled is false if it cannot be done with that file, and
// then nothing was sent: reading it says why.
func (c *Conn) sendFile(s source) (n int64, handled bool, err error) {
	rc, err := s.f.SyscallConn()
	if err != nil {
		return 0, false, nil
	}
	// Control keeps the file open, and its descriptor its own, until the end.
	cerr := rc.Control(func(fd uintptr) {
		n, handled, err = c.sendfile(int32(fd), s.section != nil, s.off, s.n)
	})
	if cerr != nil {
		return 0, false, nil
	}
	if s.section != nil && n > 0 {
		s.section.Seek(n, io.SeekCurrent)
	}
	if s.limited != nil {
		s.limited.N -= n
	}
	return n, handled, err
}

func (c *Conn) sendfile(in int32, at bool, off, most int64) (n int64, handled bool, err error) {
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if err := c.writable(); err != nil {
			return 0, true, err
		}
		if !c.wlocked {
			break
		}
		c.wait(&c.writers)
	}
	c.wlocked = true
	defer c.writeUnlock()
	f := l.takeFrame(nil)
	defer l.putFrame(f)
	f.off = off
	pos := &f.off
	if !at {
		pos = nil
	}
	first, corked := true, false
	defer func() {
		if corked && (n < most || !handled) {
			c.uncork()
		}
	}()
	for n < most {
		want := min(most-n, sendfileMost)
		var ret int64
		if first && !l.inKernel && c.entry >= 0 && !c.entryOwn {
			ret = c.sendfileBehindQueued(in, pos, want)
			corked = true
		} else {
			if err := c.drained(); err != nil {
				return n, true, err
			}
			f.Sendfile(c.fd, in, pos, want)
			c.call(&f.Entry)
			ret = f.Ret
		}
		switch {
		case ret > 0:
			n += ret
			l.stats.bytesOut += uint64(ret)
		case ret == 0:
			return n, true, nil // the file is shorter
		case ret == -int64(unix.ECANCELED):
			// The queued part was short: sent has seen to it.
		case again(ret):
			c.needOut = true
			c.dirty()
		case first && (ret == -int64(unix.EINVAL) || ret == -int64(unix.ENOSYS) || ret == -int64(unix.EOVERFLOW)):
			return 0, false, nil
		case ret == -int64(unix.EIO) || ret == -int64(unix.EINVAL) || ret == -int64(unix.EBADF) || ret == -int64(unix.EISDIR):
			return n, true, unix.Errno(-ret) // the file's fault, not the connection's
		default:
			c.werr = unix.Errno(-ret)
			return n, true, c.werr
		}
		first = first && ret < 0
	}
	return n, true, nil
}

// uncork has TCP send what it was told to hold back for a file that was shorter
// than asked for; it would wait for 200 ms. (On a unix socket there is nothing to
// hold back, and the call fails.)
func (c *Conn) uncork() {
	if c.fd >= 0 && !c.closeQueued {
		unix.SetsockoptInt(int(c.fd), unix.IPPROTO_TCP, unix.TCP_CORK, 0)
		c.l.stats.calls.CountCall(&poller.Entry{NR: unix.SYS_SETSOCKOPT})
	}
}

// sendfileBehindQueued crosses once for what c has queued, the header of what is
// in the file as a rule, and the first part of the file.
func (c *Conn) sendfileBehindQueued(in int32, pos *int64, n int64) int64 {
	l := c.l
	t := &l.table
	if t.n+2 > len(t.entries) {
		l.flush()
		return -int64(unix.ECANCELED) // as if it had come too late
	}
	// To the end of the table, with the file right behind it.
	old := c.entry
	send := t.entries[old]
	l.takeBack(c)
	e := l.add(c, 2, 0)
	c.entry = int32(t.n - 1)
	*e = send
	e.NR, e.Flags = unix.SYS_SENDTO, poller.Link
	e.Args[3] |= unix.MSG_MORE
	file := l.add(nil, 1, 0)
	file.Sendfile(c.fd, in, pos, n)
	l.flush()
	return file.Ret
}
