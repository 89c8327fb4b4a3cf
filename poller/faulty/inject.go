//go:build linux

package faulty

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// exec runs e, or has it fail, or has it do only a part.
func (b *backend) exec(e *poller.Entry, d *dice, harvest bool) {
	switch e.NR {
	case unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SENDMMSG, unix.SYS_SENDFILE:
		if b.refuseSend(e, d) || b.lose(e, d) || b.shortSend(e, d) {
			return
		}
	case unix.SYS_RECVFROM, unix.SYS_RECVMMSG:
		if b.refuseRecv(e, d, harvest) {
			return
		}
	case unix.SYS_ACCEPT4:
		if b.refuseAccept(e, d) {
			return
		}
	case unix.SYS_EPOLL_CTL, unix.SYS_CLOSE:
		b.mu.Lock()
		defer b.mu.Unlock()
	}
	b.inner.Call(e)
}

// refuseSend has a send fail without moving anything.
func (b *backend) refuseSend(e *poller.Entry, d *dice) bool {
	fd := int32(e.Args[0])
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.dead) > 0 && b.isDead(fd) {
		e.Ret = -int64(unix.EPIPE)
		return true
	}
	if d.spare(fd) {
		return false
	}
	r := &b.f.rates
	if d.chance(r.Reset) && b.reset(e) {
		return true
	}
	for _, c := range []struct {
		rate  float64
		errno unix.Errno
	}{{r.Again, unix.EAGAIN}, {r.Interrupt, unix.EINTR}, {r.NoBuffers, unix.ENOBUFS}} {
		if d.chance(c.rate) {
			b.refuse(e, d, c.errno)
			// If it is waiting for an edge already, here is one: the socket
			// is writable all along, so the kernel has none to give.
			b.again(fd, unix.EPOLLOUT)
			return true
		}
	}
	return false
}

// refuseRecv has a receive fail without moving anything. A harvest is not
// interrupted: it could not try again.
func (b *backend) refuseRecv(e *poller.Entry, d *dice, harvest bool) bool {
	fd := int32(e.Args[0])
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.dead) > 0 && b.isDead(fd) {
		e.Ret = -int64(unix.ECONNRESET)
		return true
	}
	if d.chance(b.f.rates.Reset) && b.reset(e) {
		return true
	}
	if harvest || d.spare(fd) || !d.chance(b.f.rates.Interrupt) {
		return false
	}
	b.refuse(e, d, unix.EINTR)
	return true
}

// refuseAccept has an accept fail. Nobody is lost, the connection stays in the
// queue; but as with the kernel there is no new edge: who is told EMFILE has to
// come back by himself.
func (b *backend) refuseAccept(e *poller.Entry, d *dice) bool {
	fd := int32(e.Args[0])
	b.mu.Lock()
	defer b.mu.Unlock()
	if d.spare(fd) || !d.chance(b.f.rates.Accept) {
		return false
	}
	errno := unix.ECONNABORTED
	if d.chance(0.5) {
		errno = unix.EMFILE
	}
	b.refuse(e, d, errno)
	return true
}

// refuse has e fail; the next call on its descriptor is left alone.
func (b *backend) refuse(e *poller.Entry, d *dice, errno unix.Errno) {
	fd := int32(e.Args[0])
	e.Ret = -int64(errno)
	d.spared[fd] = true
	b.note("call %d on %d: %s", e.NR, fd, unix.ErrnoName(errno))
}

// shortSend has a send move a part only.
func (b *backend) shortSend(e *poller.Entry, d *dice) bool {
	size := sendSize(e)
	b.mu.Lock()
	if size < 2 || !d.chance(b.f.rates.ShortSend) {
		b.mu.Unlock()
		return false
	}
	n := d.part(size)
	b.mu.Unlock()

	args := e.Args
	switch e.NR {
	case unix.SYS_SENDTO, unix.SYS_SENDMMSG:
		e.Args[2] = n
		b.inner.Call(e)
	case unix.SYS_SENDFILE:
		e.Args[3] = n
		b.inner.Call(e)
	case unix.SYS_SENDMSG:
		b.sendMsgPart(e, n)
	}
	e.Args = args

	b.mu.Lock()
	defer b.mu.Unlock()
	if e.Ret == int64(n) { // not what would have happened anyway
		b.note("call %d on %d: %d of %d", e.NR, args[0], n, size)
		b.again(int32(args[0]), unix.EPOLLOUT)
	}
	return true
}

// sendMsgPart sends the first n bytes of the message.
func (b *backend) sendMsgPart(e *poller.Entry, n uint64) {
	m := *msghdr(e)
	iov := append([]unix.Iovec(nil), unsafe.Slice(m.Iov, m.Iovlen)...)
	for i := range iov {
		if uint64(iov[i].Len) >= n {
			iov[i].Len, iov = n, iov[:i+1]
			break
		}
		n -= iov[i].Len
	}
	m.Iov = &iov[0]
	m.SetIovlen(len(iov))
	var pin runtime.Pinner // also keeps both off the stack
	defer pin.Unpin()
	pin.Pin(&m)
	pin.Pin(&iov[0])
	e.Args[1] = uint64(uintptr(unsafe.Pointer(&m)))
	b.inner.Call(e)
}

// sendSize is how many bytes e asks to be sent; of a sendmmsg, messages.
func sendSize(e *poller.Entry) (n uint64) {
	switch e.NR {
	case unix.SYS_SENDTO, unix.SYS_SENDMMSG:
		return e.Args[2]
	case unix.SYS_SENDFILE:
		return e.Args[3]
	}
	m := msghdr(e)
	for _, v := range unsafe.Slice(m.Iov, m.Iovlen) {
		n += v.Len
	}
	return n
}

// reset kills the connection that e works on. Its peer sees an end, and the
// loop an event; only closing it makes the number good again. With b.mu held.
func (b *backend) reset(e *poller.Entry) bool {
	fd := int(e.Args[0])
	if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err == nil && kind == unix.SOCK_DGRAM {
		return false // a socket of datagrams has no connection to lose, and would stay shut
	}
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil || unix.Shutdown(fd, unix.SHUT_RDWR) != nil {
		return false // no socket, or not connected: the call itself will say so
	}
	b.dead[cookie] = true
	e.Ret = -int64(unix.ECONNRESET)
	b.note("call %d on %d: ECONNRESET", e.NR, fd)
	return true
}

// isDead reports whether fd is a connection that was reset. The cookie tells it
// from a later one with the same number. With b.mu held.
func (b *backend) isDead(fd int32) bool {
	cookie, err := unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_COOKIE)
	return err == nil && b.dead[cookie]
}
