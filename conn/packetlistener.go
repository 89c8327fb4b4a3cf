//go:build linux && (amd64 || arm64)

package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// PacketListener is an address that datagrams come to. It is used in one of two ways:
// as a net.PacketConn, by any goroutine, with one socket, or by Serve, on loops with a
// socket each. In the second nobody can read from it, but any goroutine may still
// send (WriteTo, WriteToUDPAddrPort).
type PacketListener struct {
	*PacketConn
	network string
	opt     options

	closed  chan struct{}
	closing atomic.Bool
	serving atomic.Pointer[group] // nil: Serve has not been called

	mu sync.Mutex // of Start and Close
}

var _ net.PacketConn = (*PacketListener)(nil)

// ListenPacket listens for datagrams on addr; network is udp, udp4, udp6 or unixgram.
// For Serve each loop has a socket of its own on the same port (SO_REUSEPORT), among
// which the kernel spreads peers; on unixgram there is one, and so there is on a group
// of multicast, of whose datagrams each socket would have a copy. Options that are about
// connections mean nothing.
func ListenPacket(network, addr string, opts ...Option) (*PacketListener, error) {
	switch network {
	case "udp", "udp4", "udp6", "unixgram":
	default:
		return nil, fmt.Errorf("esca: listen %s %s: %w: use udp, udp4, udp6 or unixgram", network, addr, net.UnknownNetworkError(network))
	}
	o := buildOptions(opts)
	if err := o.linux.check(); err != nil {
		return nil, err
	}
	pc, err := openPacket(network, addr, &o, o.shared)
	if err != nil {
		return nil, err
	}
	c, err := newPacketConn(pc)
	if err != nil {
		pc.Close()
		return nil, err
	}
	if network == "unixgram" || isMulticast(addr) || isMulticast(c.LocalAddr().String()) {
		o.loops = 1
	}
	return &PacketListener{PacketConn: c, network: network, opt: o, closed: make(chan struct{})}, nil
}

func isMulticast(addr string) bool {
	a, err := netip.ParseAddrPort(addr)
	return err == nil && a.Addr().IsMulticast()
}

// openPacket lets package net resolve, bind and name errors, or who was named for it.
func openPacket(network, addr string, o *options, shared bool) (net.PacketConn, error) {
	if o.packetSocket != nil {
		return o.packetSocket(network, addr)
	}
	lc := net.ListenConfig{Control: func(network, addr string, rc syscall.RawConn) (err error) {
		if shared && network != "unixgram" {
			cerr := rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
			if err = errors.Join(cerr, err); err != nil {
				return err
			}
		}
		if o.control != nil {
			return o.control(network, addr, rc)
		}
		return nil
	}}
	return lc.ListenPacket(context.Background(), network, addr)
}

// Serve has h serve what comes, and blocks until ln is closed. It returns
// net.ErrClosed then.
func (ln *PacketListener) Serve(h PacketHandler) error {
	if err := ln.Start(h); err != nil {
		return err
	}
	<-ln.closed
	return net.ErrClosed
}

// Start is Serve without the wait: once it has returned, h is served. What waits in
// Read, or reads later, gets net.ErrClosed.
func (ln *PacketListener) Start(h PacketHandler) error {
	if h == nil {
		return errors.New("esca: Serve needs a PacketHandler")
	}
	ln.mu.Lock()
	defer ln.mu.Unlock()
	switch {
	case ln.closing.Load():
		return &net.OpError{Op: "listen", Net: ln.network, Addr: ln.LocalAddr(), Err: net.ErrClosed}
	case ln.serving.Load() != nil:
		return ErrInUse
	}
	fds, err := ln.openFurther()
	if err != nil {
		return err
	}
	if err := ln.startLoops(fds, h); err != nil {
		return err
	}
	return ln.PacketConn.Close() // the socket lives on in its duplicate
}

// openFurther returns a duplicate of the socket there is, and a new one for each
// further loop. The first was bound alone, so that a port in use is an error; only
// now may others share it.
func (ln *PacketListener) openFurther() (fds []int32, err error) {
	defer func() {
		if err != nil {
			closeAll(fds)
		}
	}()
	first, err := dupRaw(ln.nc)
	if err != nil {
		return nil, err
	}
	fds = append(fds, int32(first))
	if ln.opt.loops == 1 {
		return fds, nil
	}
	if err := unix.SetsockoptInt(first, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return fds, fmt.Errorf("esca: a socket for each loop needs SO_REUSEPORT: %w", err)
	}
	for range ln.opt.loops - 1 {
		pc, err := openPacket(ln.network, ln.LocalAddr().String(), &ln.opt, true)
		if err != nil {
			return fds, err
		}
		c, err := newPacketConn(pc)
		if err != nil {
			pc.Close()
			return fds, err
		}
		fd, err := dupRaw(c.nc)
		c.Close()
		if err != nil {
			return fds, err
		}
		for _, opt := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} { // SetReadBuffer may have been called; the kernel doubles
			if v, err := unix.GetsockoptInt(first, unix.SOL_SOCKET, opt); err == nil {
				unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, v/2)
			}
		}
		fds = append(fds, int32(fd))
	}
	return fds, nil
}

// startLoops starts loops that have fds, which are theirs.
func (ln *PacketListener) startLoops(fds []int32, h PacketHandler) error {
	o := ln.opt
	o.loops = len(fds)
	c := &o.linux.config
	c.SlotSize = packetMemory.SlotSize()
	if c.Slots == 0 {
		c.Slots = packetSlots
	}
	c.Slots = min(c.Slots, mostPacketSlots)
	g, err := newGroup(o)
	if err != nil {
		closeAll(fds)
		return err
	}
	family, addr := ln.family, ln.LocalAddr()
	for i, l := range g.loops {
		l.sh.LayOutPackets(packetMemory)
		l.packets = &packetLoop{l: l, sh: l.sh}
		l.packets.first.can = g.factory.Name() != "kmod"
		s, aerr := l.packets.add(h, addr, fds[i], family)
		if err = errors.Join(err, aerr); s != nil {
			l.packets.socks = []*packetSocket{s}
		}
	}
	if err != nil {
		for _, l := range g.loops {
			l.release()
		}
		closeAll(fds)
		return err
	}
	ln.serving.Store(g)
	g.start()
	return nil
}

// Close closes the sockets, for Serve once what is queued is sent, as far as the
// kernel takes it. Closing twice is an error, as with package net. A unix socket's
// file stays, as package net leaves it.
func (ln *PacketListener) Close() error {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if ln.closing.Swap(true) {
		return &net.OpError{Op: "close", Net: ln.network, Addr: ln.LocalAddr(), Err: net.ErrClosed}
	}
	defer close(ln.closed)
	g := ln.serving.Load()
	if g == nil {
		return ln.PacketConn.Close()
	}
	var wait []chan struct{}
	for _, l := range g.loops {
		closed := make(chan struct{})
		caller := l.isCaller() // it would wait for itself
		if l.post(func() { l.packets.close(); close(closed) }) && !caller {
			wait = append(wait, closed)
		}
	}
	g.close()
	for _, closed := range wait {
		<-closed
	}
	return nil
}

// Wait blocks until every loop of Serve has ended: after Close, when its last Handler
// has returned.
func (ln *PacketListener) Wait() {
	if g := ln.serving.Load(); g != nil {
		for _, l := range g.loops {
			<-l.done
		}
	}
}

// WriteTo sends p to a peer. With Serve it is queued for the first loop's socket, and
// what the queue has no room for is an error, ENOBUFS.
func (ln *PacketListener) WriteTo(p []byte, to net.Addr) (int, error) {
	g := ln.serving.Load()
	if g == nil {
		return ln.PacketConn.WriteTo(p, to)
	}
	var name packetName
	if err := name.setAddr(ln.family, to); err != nil {
		return 0, ln.writeError(to, err)
	}
	if err := g.loops[0].packets.send(name.bytes(), p); err != nil {
		return 0, ln.writeError(to, err)
	}
	return len(p), nil
}

// WriteToUDPAddrPort is WriteTo, without allocations.
func (ln *PacketListener) WriteToUDPAddrPort(p []byte, to netip.AddrPort) (int, error) {
	g := ln.serving.Load()
	if g == nil {
		return ln.PacketConn.WriteToUDPAddrPort(p, to)
	}
	var name packetName
	err := name.setAddrPort(ln.family, to)
	if err == nil {
		err = g.loops[0].packets.send(name.bytes(), p)
	}
	if err != nil {
		return 0, ln.writeError(net.UDPAddrFromAddrPort(to), err)
	}
	return len(p), nil
}

func (ln *PacketListener) writeError(to net.Addr, err error) error {
	return &net.OpError{Op: "write", Net: ln.network, Source: ln.LocalAddr(), Addr: to, Err: err}
}

// send queues p for name, on the PacketListener's socket. Any goroutine may call it.
func (pl *packetLoop) send(name, p []byte) error {
	pl.l.mu.Lock()
	defer pl.l.mu.Unlock()
	if len(pl.socks) == 0 {
		return net.ErrClosed
	}
	return pl.socks[0].send(name, p)
}

// send queues p for name; none: the peer that the socket is connected to.
func (s *packetSocket) send(name, p []byte) error {
	pl := s.l.packets
	if len(p) > s.most {
		return unix.EMSGSIZE
	}
	together := s.together()
	if n := len(s.out); n > s.flying && s.out[n-1].add(name, p, nil, together) {
		return nil
	}
	b := pl.batch()
	b.add(name, p, nil, together)
	dropped := pl.dropped
	if s.submit(b); pl.dropped != dropped {
		return unix.ENOBUFS
	}
	return nil
}

// Execute has the loop given run f, which is user code, as Listener.Execute does. It
// reports false if there are no loops, as Serve has not been called, or they have ended.
func (ln *PacketListener) Execute(loop int, f func()) bool {
	g := ln.serving.Load()
	return g != nil && g.loops[loop].execute(f)
}

// Do is Execute, and returns when f has run. If it is called by what the loop runs
// already, f runs at once.
func (ln *PacketListener) Do(loop int, f func()) bool {
	g := ln.serving.Load()
	return g != nil && g.loops[loop].do(f)
}

// Loops returns how many loops there are, or would be with Serve.
func (ln *PacketListener) Loops() int { return ln.opt.loops }

// Serial reports whether nothing that the loops run ever runs at once, as of Listener.
func (ln *PacketListener) Serial() bool { return ln.opt.loops == 1 && !ln.opt.steals }

// Stats returns what the loops of Serve have done so far.
func (ln *PacketListener) Stats() Stats {
	var st Stats
	if g := ln.serving.Load(); g != nil {
		st.Loops = len(g.loops)
		st.Backend = g.factory.Name()
		for _, l := range g.loops {
			l.mu.Lock()
			l.addStats(&st)
			l.mu.Unlock()
		}
	}
	return st
}

// Backend is one line on which backend the loops of Serve use, or would, and why not
// another.
func (ln *PacketListener) Backend() string {
	if g := ln.serving.Load(); g != nil {
		return g.why
	}
	_, why, _ := ln.opt.chooseFactory()
	return why
}

// SyscallConn gives access to the socket: with Serve to the first loop's, and to
// Control only.
func (ln *PacketListener) SyscallConn() (syscall.RawConn, error) {
	if ln.serving.Load() == nil {
		return ln.PacketConn.SyscallConn()
	}
	return servedRawConn{ln}, nil
}

type servedRawConn struct{ ln *PacketListener }

func (r servedRawConn) Control(f func(fd uintptr)) error {
	first := true
	return r.ln.control(func(fd int) error {
		if first {
			first = false
			f(uintptr(fd))
		}
		return nil
	})
}

func (r servedRawConn) Read(func(fd uintptr) bool) error  { return ErrInUse }
func (r servedRawConn) Write(func(fd uintptr) bool) error { return ErrInUse }

// SetReadBuffer sets SO_RCVBUF, with Serve of each loop's socket.
func (ln *PacketListener) SetReadBuffer(bytes int) error {
	if ln.serving.Load() == nil {
		return ln.PacketConn.SetReadBuffer(bytes)
	}
	return ln.setInt(unix.SO_RCVBUF, bytes)
}

// SetWriteBuffer sets SO_SNDBUF, with Serve of each loop's socket.
func (ln *PacketListener) SetWriteBuffer(bytes int) error {
	if ln.serving.Load() == nil {
		return ln.PacketConn.SetWriteBuffer(bytes)
	}
	return ln.setInt(unix.SO_SNDBUF, bytes)
}

func (ln *PacketListener) setInt(opt, v int) error {
	return ln.control(func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, v)
	})
}

// control runs f on each loop's socket, which stays open meanwhile.
func (ln *PacketListener) control(f func(fd int) error) (err error) {
	for _, l := range ln.serving.Load().loops {
		l.mu.Lock()
		if len(l.packets.socks) == 0 {
			err = errors.Join(err, net.ErrClosed)
		}
		for _, s := range l.packets.socks {
			err = errors.Join(err, f(int(s.fd)))
		}
		l.mu.Unlock()
	}
	if err != nil {
		return &net.OpError{Op: "set", Net: ln.network, Source: ln.LocalAddr(), Err: err}
	}
	return nil
}

// File returns a duplicate of the socket, with Serve of the first loop's, which the
// caller closes. It receives what Serve has it receive: several datagrams of a peer as
// one message (UDP_GRO).
func (ln *PacketListener) File() (*os.File, error) {
	if ln.serving.Load() == nil {
		return ln.PacketConn.File()
	}
	var fd int
	var err error
	cerr := servedRawConn{ln}.Control(func(of uintptr) { fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) })
	switch {
	case cerr != nil:
		return nil, cerr
	case err != nil:
		return nil, &net.OpError{Op: "file", Net: ln.network, Addr: ln.LocalAddr(), Err: os.NewSyscallError("dup", err)}
	}
	return os.NewFile(uintptr(fd), "esca packets"), nil
}
