//go:build linux && (amd64 || arm64)

package conn

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Listener is a listening address and the loops that serve what is accepted
// there. It is used in one of two ways: Accept, as any net.Listener, or Serve.
type Listener struct {
	origin
	group      *group
	inner      net.Listener // taken over, or nil
	sharesPort bool         // and counted in taken
	handler    Handler      // nil until Serve

	once    sync.Once // registers the sockets
	onceErr error
	closed  chan struct{}
	closing atomic.Bool
	lingers atomic.Bool // a socket has SO_LINGER, which connections inherit, or somebody sees it who may set it
	fdsMu   sync.Mutex
	fds     []int32 // a socket for each loop; none once it is closed
	unlink  string  // the unix socket's file, removed by Close; fdsMu
	queue   acceptQueue
}

var _ net.Listener = (*Listener)(nil)

// Listen listens on addr; network is tcp, tcp4, tcp6 or unix. On TCP each loop
// has a listening socket of its own on the same port (SO_REUSEPORT), among which
// the kernel spreads connections; on unix the loops share one. The result is the
// address and its loops. Close it to end them; connections live on until they are
// closed.
func Listen(network, addr string, opts ...Option) (*Listener, error) {
	o := buildOptions(opts)
	socks, la, err := openSockets(network, addr, &o)
	if err != nil {
		return nil, err
	}
	ln, err := newListener(network, socks, la, o)
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		ln.unlink = socketFile(la)
	}
	return ln, nil
}

// socketFile returns the file of a unix socket; none for an abstract name.
func socketFile(a net.Addr) string {
	if name := a.String(); name != "" && name[0] != '@' {
		return name
	}
	return ""
}

func newListener(network string, socks []int32, addr net.Addr, o options) (*Listener, error) {
	g, err := newGroup(o)
	if err != nil {
		closeAll(socks)
		return nil, err
	}
	ln := &Listener{origin: origin{network, addr}, group: g, fds: socks, closed: make(chan struct{})}
	ln.queue.init()
	g.start()
	return ln, nil
}

// Addr returns the address listened on.
func (ln *Listener) Addr() net.Addr { return ln.addr }

// Backend is one line on which backend the loops use, and why not another.
func (ln *Listener) Backend() string { return ln.group.why }

// listen registers the sockets, once.
func (ln *Listener) listen(h Handler) error {
	first := false
	ln.once.Do(func() {
		first = true
		ln.handler, ln.group.handler = h, h
		for i, l := range ln.group.loops {
			fd := ln.fds[i%len(ln.fds)]
			if i >= len(ln.fds) {
				break
			}
			l.mu.Lock()
			ln.onceErr = errors.Join(ln.onceErr, l.listen(ln, fd))
			l.mu.Unlock()
		}
	})
	switch {
	case first:
	case ln.closing.Load():
		return ln.closedError("accept")
	case h != nil:
		return ErrInUse
	}
	return ln.onceErr
}

// Serve has h serve what is accepted, and blocks until the listener is closed.
// It returns net.ErrClosed then.
func (ln *Listener) Serve(h Handler) error {
	if err := ln.Start(h); err != nil {
		return err
	}
	<-ln.closed
	return net.ErrClosed
}

// Start is Serve without the wait: once it has returned, h is served, and Enroll
// may be called.
func (ln *Listener) Start(h Handler) error {
	if h == nil {
		return errors.New("esca: Serve needs a Handler")
	}
	return ln.listen(h)
}

// Close stops listening. For a Handler, connections that wait in the kernel's
// queue are still accepted, as closing would reset them; those that wait for
// Accept are reset, as package net's are. Connections that are open stay open,
// and each loop ends with its last one.
func (ln *Listener) Close() error {
	if ln.closing.Swap(true) {
		return ln.closedError("close")
	}
	used := true
	ln.once.Do(func() { used = false; ln.onceErr = net.ErrClosed })
	ln.fdsMu.Lock()
	fds, unlink := ln.fds, ln.unlink
	ln.fds = nil
	ln.fdsMu.Unlock()
	if !used {
		closeAll(fds)
	}
	if unlink != "" {
		os.Remove(unlink)
	}
	if ln.inner != nil {
		ln.inner.Close()
	}
	for _, c := range ln.queue.shut() {
		c.l.mu.Lock()
		c.reset()
		c.l.mu.Unlock()
	}
	if ln.sharesPort {
		taken.leave(ln.addr.String())
	}
	ln.group.close()
	close(ln.closed)
	return nil
}

func (ln *Listener) closedError(op string) error {
	return &net.OpError{Op: op, Net: ln.network, Addr: ln.addr, Err: net.ErrClosed}
}

// Wait blocks until, after Close, the last connection is closed. Those that were
// dialled (Dialer.Listener) do not count: their loop lives on until they are closed too.
func (ln *Listener) Wait() {
	for _, l := range ln.group.loops {
		<-l.served
	}
}

// CloseIdle has the Handler serve, with EndedShutdown, each connection that has
// no worker.
func (ln *Listener) CloseIdle() {
	for _, l := range ln.group.loops {
		l.post(func() {
			for _, c := range l.conns {
				if c != nil && c.servable() && !c.hasNews() {
					c.burst.ended = EndedShutdown
					c.serveNextTurn()
				}
			}
		})
	}
}

// Drained reports whether, after Close, every loop has taken in what waited in the
// kernel's queue: no new connection will be served.
func (ln *Listener) Drained() bool {
	for _, l := range ln.group.loops {
		l.mu.Lock()
		drained := l.closing && len(l.accepts.fresh) == 0
		l.mu.Unlock()
		if !drained {
			return false
		}
	}
	return true
}

// SetKeepAlive sets on the listening sockets, for connections to inherit, that TCP
// probes idle peers; a period of zero leaves it to the system's defaults.
func (ln *Listener) SetKeepAlive(period time.Duration) error {
	ln.fdsMu.Lock()
	defer ln.fdsMu.Unlock()
	if ln.fds == nil {
		return ln.closedError("set")
	}
	for _, fd := range ln.fds {
		if err := setKeepAlive(int(fd), period); err != nil {
			return err
		}
	}
	return nil
}

// File returns a duplicate of a listening socket, which the caller closes. On
// TCP each loop has a socket of its own: this is the first loop's.
func (ln *Listener) File() (*os.File, error) {
	ln.fdsMu.Lock()
	defer ln.fdsMu.Unlock()
	if len(ln.fds) == 0 {
		return nil, ln.closedError("file")
	}
	fd, err := unix.FcntlInt(uintptr(ln.fds[0]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &net.OpError{Op: "file", Net: ln.network, Addr: ln.addr, Err: os.NewSyscallError("dup", err)}
	}
	ln.lingers.Store(true)
	return os.NewFile(uintptr(fd), "esca listener"), nil
}

// Loops returns how many loops there are.
func (ln *Listener) Loops() int { return len(ln.group.loops) }

// Serial reports whether nothing that the loops run ever runs at once: there is one,
// nobody takes it from what keeps it (WithSteals), and nothing runs on goroutines.
func (ln *Listener) Serial() bool {
	o := &ln.group.opt
	return len(ln.group.loops) == 1 && !o.steals && o.dispatch != DispatchGoroutine
}

// Stats returns what the loops have done so far.
func (ln *Listener) Stats() Stats {
	var s Stats
	s.Loops = len(ln.group.loops)
	s.Backend = ln.group.factory.Name()
	for _, l := range ln.group.loops {
		l.mu.Lock()
		l.addStats(&s)
		l.mu.Unlock()
	}
	return s
}
