//go:build linux && (amd64 || arm64)

package conn

import (
	"io"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// sendfileMost bounds one sendfile, and with it how long a loop is kept.
const sendfileMost = 256 << 10

// ReadFrom sends what r has until it ends. An *os.File, an *io.SectionReader of
// one (whose offset it uses, not the file's: a descriptor may so be shared), or
// an *io.LimitedReader of either goes by sendfile, right behind what is queued. A
// file that takes long to be read delays nobody else; one that cannot, as it lies in
// memory, may say so by a method InMemory() bool, and is sent at less cost. Anything
// else is copied.
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
	prompt  bool              // reading it waits for nothing
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
	if m, is := s.f.(interface{ InMemory() bool }); is {
		s.prompt = m.InMemory()
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
	call := sendfileCalls.Get().(*sendfileCall)
	defer call.putBack()
	call.c, call.at, call.off, call.most, call.prompt = c, s.section != nil, s.off, s.n, s.prompt
	if rc.Control(call.control) != nil {
		return 0, false, nil
	}
	n, handled, err = call.n, call.handled, call.err
	if s.section != nil && n > 0 {
		s.section.Seek(n, io.SeekCurrent)
	}
	if s.limited != nil {
		s.limited.N -= n
	}
	return n, handled, err
}

// sendfileCall is what a file's Control calls, which so keeps the file open, and its
// descriptor its own, until the end. It is used again, as a closure cannot be.
type sendfileCall struct {
	c         *Conn
	at        bool
	off, most int64
	prompt    bool
	n         int64
	handled   bool
	err       error
	control   func(fd uintptr)
}

var sendfileCalls = sync.Pool{New: func() any {
	call := new(sendfileCall)
	call.control = func(fd uintptr) {
		call.n, call.handled, call.err = call.c.sendfile(call, int32(fd))
	}
	return call
}}

func (call *sendfileCall) putBack() {
	*call = sendfileCall{control: call.control}
	sendfileCalls.Put(call)
}

// transfer is a sendfile under way.
type transfer struct {
	in   int32
	off  *int64 // nil: the file's own offset
	most int64
	flag uint32 // of the sendfile's entry
	n    int64  // sent
	more bool   // TCP was told that more follows, and may be holding back
}

func (c *Conn) sendfile(call *sendfileCall, in int32) (n int64, handled bool, err error) {
	l, o := c.l, &c.out
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if err := c.writable(); err != nil {
			return 0, true, err
		}
		if !o.locked {
			break
		}
		c.await(&c.writers)
	}
	o.locked = true
	defer c.unlockOutput()
	f := l.getFrame(nil)
	defer l.putFrame(f)
	f.off = call.off
	t := transfer{in: in, most: call.most}
	if call.at {
		t.off = &f.off
	}
	if call.prompt {
		t.flag = poller.Prompt
	}
	for handled = true; t.n < t.most && handled && err == nil; {
		var over bool
		if over, handled, err = c.sendPart(f, &t); over {
			break
		}
	}
	if t.more && (t.n < t.most || !handled) {
		c.uncork()
	}
	return t.n, handled, err
}

// sendPart sends what is queued, if anything is, and the next part of the file
// behind it. It runs without the lock: the file may be on a disk that takes long, or
// on a network that has gone, and the loop can then be stolen. over: the file is
// shorter than it was said to be.
func (c *Conn) sendPart(f *frame, t *transfer) (over, handled bool, err error) {
	want := min(t.most-t.n, sendfileMost)
	var header []byte
	if o := &c.out; o.state == outQueued && !c.l.away() && c.pending() <= len(f.copied) {
		header = f.copied[:copy(f.copied[:], c.unqueue())] // the arena goes on without us
		t.more = true
	} else if err := c.drained(); err != nil {
		return false, true, err
	}
	sent := int64(len(header))
	var calls poller.Counts
	c.beginCalls()
	if len(header) > 0 {
		f.Send(c.fd, unsafe.Pointer(&header[0]), len(header), unix.MSG_MORE)
		c.l.be.Call(&f.Entry)
		calls.CountCall(&f.Entry)
		sent = f.Ret
	}
	if sent == int64(len(header)) {
		f.Sendfile(c.fd, t.in, t.off, want)
		f.Flags = t.flag
		c.l.be.Call(&f.Entry)
		calls.CountCall(&f.Entry)
	}
	c.endCalls()
	c.l.stats.calls.Add(&calls)
	if len(header) > 0 {
		n, err := c.transferred(sent, len(header))
		if err != nil {
			return false, true, err
		}
		if n < len(header) {
			c.out.backlog = append(c.out.backlog, header[n:]...)
			return false, true, nil
		}
	}
	return c.sentPart(f.Ret, t)
}

// sentPart takes in the result of a sendfile.
func (c *Conn) sentPart(ret int64, t *transfer) (over, handled bool, err error) {
	switch {
	case ret > 0:
		t.n += ret
		c.l.stats.bytesOut += uint64(ret)
	case ret == 0:
		return true, true, nil
	case again(ret):
		c.transferred(ret, 1)
	case t.n == 0 && (ret == -int64(unix.EINVAL) || ret == -int64(unix.ENOSYS) || ret == -int64(unix.EOVERFLOW)):
		return false, false, nil
	case ret == -int64(unix.EIO) || ret == -int64(unix.EINVAL) || ret == -int64(unix.EBADF) || ret == -int64(unix.EISDIR):
		return false, true, unix.Errno(-ret) // the file's fault, not the connection's
	default:
		_, err := c.transferred(ret, 1)
		return false, true, err
	}
	return false, true, nil
}

// uncork has TCP send what it was told to hold back for a file that was shorter
// than asked for; it would wait for 200 ms. (On a unix socket there is nothing to
// hold back, and the call fails.)
func (c *Conn) uncork() {
	if c.end.state < endClosing {
		unix.SetsockoptInt(int(c.fd), unix.IPPROTO_TCP, unix.TCP_CORK, 0)
		c.l.stats.calls.CountCall(&poller.Entry{NR: unix.SYS_SETSOCKOPT})
	}
}
