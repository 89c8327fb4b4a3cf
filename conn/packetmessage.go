//go:build linux && (amd64 || arm64)

package conn

import (
	"net"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// Message is a datagram of ReadBatch or WriteBatch. It is what Message is of
// golang.org/x/net/ipv4 and ipv6, field by field.
type Message struct {
	Buffers [][]byte // of WriteBatch: what to send; of ReadBatch: where to put it
	OOB     []byte   // control messages, in the kernel's format
	Addr    net.Addr // the peer; with a connected socket nil to send
	N       int      // bytes received or sent
	NN      int      // bytes of OOB
	Flags   int      // of recvmsg, as MSG_TRUNC
}

// mostMessages is what one call of ReadBatch or WriteBatch moves at most.
const mostMessages = 64

// messageVector is what recvmmsg and sendmmsg work on.
type messageVector struct {
	msgs  [mostMessages]poller.Packet
	names [mostMessages]packetName
	iov   []unix.Iovec
	n     int // of msgs: to be moved
	full  int // and with something in them
	flags int
	moved int
	errno unix.Errno

	read, write func(fd uintptr) bool // bound once
}

var messageVectors = sync.Pool{New: func() any {
	v := new(messageVector)
	v.read, v.write = v.recvmmsg, v.sendmmsg
	return v
}}

func (v *messageVector) recvmmsg(fd uintptr) bool { return v.call(unix.SYS_RECVMMSG, fd) }
func (v *messageVector) sendmmsg(fd uintptr) bool { return v.call(unix.SYS_SENDMMSG, fd) }

func (v *messageVector) call(nr, fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(nr, fd, uintptr(unsafe.Pointer(&v.msgs)), uintptr(v.n), uintptr(v.flags)|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		v.moved, v.errno = int(n), errno
		if errno != unix.EINTR {
			return errno != unix.EAGAIN
		}
	}
}

// fill has v describe ms.
func (v *messageVector) fill(ms []Message) {
	v.n, v.full, v.iov = len(ms), len(ms), v.iov[:0]
	for i := range ms {
		for _, b := range ms[i].Buffers {
			v.iov = append(v.iov, unix.Iovec{Base: unsafe.SliceData(b), Len: uint64(len(b))})
		}
	}
	next := 0
	for i := range ms {
		m := &v.msgs[i]
		*m = poller.Packet{}
		if n := len(ms[i].Buffers); n > 0 {
			m.Iov = &v.iov[next]
			m.SetIovlen(n)
			next += n
		}
		if oob := ms[i].OOB; len(oob) > 0 {
			m.Control = &oob[0]
			m.SetControllen(len(oob))
		}
	}
}

// release forgets the caller's memory.
func (v *messageVector) release() {
	clear(v.msgs[:v.full])
	clear(v.iov)
	messageVectors.Put(v)
}

// ReadBatch receives up to len(ms) datagrams, by one system call, once there is at
// least one, and returns how many that were; at most 64. flags are recvmsg's.
func (c *PacketConn) ReadBatch(ms []Message, flags int) (int, error) {
	if len(ms) == 0 {
		return 0, nil
	}
	v := messageVectors.Get().(*messageVector)
	defer v.release()
	v.fill(ms[:min(len(ms), mostMessages)])
	v.flags = flags | unix.MSG_CMSG_CLOEXEC
	for i := range v.n {
		v.msgs[i].Name, v.msgs[i].Namelen = &v.names[i].b[0], poller.PacketName
	}
	if err := c.raw.Read(v.read); err != nil {
		return 0, c.batchError("read", err)
	}
	if v.errno != 0 {
		return 0, c.batchError("read", os.NewSyscallError("recvmmsg", v.errno))
	}
	for i := range v.moved {
		m, to := &v.msgs[i], &ms[i]
		to.N, to.NN, to.Flags = int(m.Len), int(m.Controllen), int(m.Flags)
		to.Addr = addrOf(v.names[i].b[:min(m.Namelen, poller.PacketName)])
	}
	return v.moved, nil
}

// WriteBatch sends ms by one system call, up to 64 of them, and returns how many were
// sent. It waits until the socket takes at least one. Fewer than there are without an
// error means that the next cannot be sent, or not yet.
func (c *PacketConn) WriteBatch(ms []Message, flags int) (int, error) {
	if len(ms) == 0 {
		return 0, nil
	}
	v := messageVectors.Get().(*messageVector)
	defer v.release()
	v.fill(ms[:min(len(ms), mostMessages)])
	v.flags = flags
	for i := range v.n {
		if ms[i].Addr == nil {
			continue
		}
		name := &v.names[i]
		if err := name.setAddr(c.family, ms[i].Addr); err != nil {
			if i == 0 {
				return 0, c.batchError("write", err)
			}
			v.n = i // the call that begins with it says so
			break
		}
		v.msgs[i].Name, v.msgs[i].Namelen = &name.b[0], uint32(name.n)
	}
	if err := c.raw.Write(v.write); err != nil {
		return 0, c.batchError("write", err)
	}
	if v.errno != 0 {
		return 0, c.batchError("write", os.NewSyscallError("sendmmsg", v.errno))
	}
	for i := range v.moved {
		ms[i].N, ms[i].NN = int(v.msgs[i].Len), len(ms[i].OOB)
	}
	return v.moved, nil
}

// batchError wraps err as package net does.
func (c *PacketConn) batchError(op string, err error) error {
	if op, ok := err.(*net.OpError); ok { // of a RawConn, which names itself
		err = op.Err
	}
	return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
