//go:build linux && (amd64 || arm64)

package conn

import (
	"context"
	"net"

	"golang.org/x/sys/unix"
)

// DialContext connects to address, until ctx is done; network is tcp, tcp4, tcp6 or
// unix. The result is a *Conn that belongs to whoever has it: any goroutine may use it,
// and has to close it. With udp, udp4, udp6 and unixgram it is a *PacketConn, which is on
// no loop.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	datagrams, err := checkDial(network)
	if err != nil {
		return nil, err
	}
	w := callingWorker()
	if datagrams {
		var c *PacketConn
		w.beside(func() { c, err = dialPacket(ctx, d.netDialer(), network, address) })
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	var nc net.Conn
	w.beside(func() { nc, err = d.netDialer().DialContext(ctx, network, address) })
	if err != nil {
		return nil, err
	}
	c, err := d.take(w, nc, network)
	if err != nil {
		addr := nc.RemoteAddr()
		nc.Close()
		return nil, &net.OpError{Op: "dial", Net: network, Addr: addr, Err: err}
	}
	return c, nil
}

// take makes nc, which w has just dialled, a connection of a loop.
func (d *Dialer) take(w *worker, nc net.Conn, network string) (*Conn, error) {
	fd, err := takeFDOf(nc)
	if err != nil {
		return nil, err
	}
	if g := d.group(w); g != nil {
		if c := g.dialLoop(w).take(fd, nc, network); c != nil {
			return c, nil
		}
	}
	g, err := shareLoops()
	if err != nil {
		unix.Close(int(fd))
		return nil, err
	}
	defer g.unuse() // the connection counts by then
	return g.dialLoop(w).take(fd, nc, network), nil
}

// group is whose loops a connection is to go to that w dials; nil: those in common.
func (d *Dialer) group(w *worker) *group {
	switch {
	case d.Listener != nil:
		return d.Listener.group
	case w != nil:
		return w.l.group
	}
	return nil
}

// dialLoop is which of g's loops that is.
func (g *group) dialLoop(w *worker) *loop {
	if w != nil && w.l.group == g {
		return w.l
	}
	return g.nextLoop().least()
}

// take registers fd, which nc had, as a dialled connection; nil: l has ended.
func (l *loop) take(fd int32, nc net.Conn, network string) *Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		return nil
	}
	l.load.Add(1)
	l.guests++
	l.group.use()
	c := l.register(fd, sockaddr{}, networks[network], false)
	c.guest, c.addrs = true, &[2]net.Addr{nc.LocalAddr(), nc.RemoteAddr()}
	return c
}

// networks is what dialled connections have in common.
var networks = map[string]*origin{
	"tcp": {network: "tcp"}, "tcp4": {network: "tcp4"}, "tcp6": {network: "tcp6"}, "unix": {network: "unix"},
}

// beside runs f, which is not the loop's business. If w, which is the caller, is a
// coroutine, f has a goroutine of its own, and w yields to the loop until it returns.
func (w *worker) beside(f func()) {
	switch {
	case w == nil || w.kind == inlineWorker && !w.isCoroutine():
		f()
	case w.kind == spawnedWorker:
		began := clockNow()
		f()
		w.waited += clockNow() - began
	default:
		l := w.l
		l.mu.Lock()
		l.others.readied = true
		l.mu.Unlock()
		go func() {
			f()
			l.mu.Lock()
			l.wakeWorker(w)
			l.mu.Unlock()
		}()
		w.yield(struct{}{})
	}
}
