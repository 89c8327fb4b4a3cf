//go:build linux && (amd64 || arm64)

package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"

	"github.com/escahttp/esca/conn"
)

// gnetEngine is one Run: the conn.Handler of its loops.
type gnetEngine struct {
	g     *Gnet
	set   *gnetSettings
	given []string       // addresses, as written
	ln    *conn.Listener // the first stream address, and the loops; nil: only udp
	more  []net.Listener // the other stream addresses
	loops []*gnetLoop
	udp   []*gnetUDP
	eng   gnet.Engine // of the shadow
	next  sync.Mutex  // for eng.Register: which of gnet's loops is next is not locked there

	conns    atomic.Int64 // open
	stopping atomic.Bool  // the end has been asked for
	closed   atomic.Bool  // OnShutdown is over, and everything being closed
	shaking  sync.Map     // *conn.Conn in their TLS handshake
	peers    sync.Map     // *gnetPeer that are open
	buffers  sync.Pool    // of *[]byte, ReadBufferCap each
}

// RunTLS is RunTLS, with g's options.
func (g *Gnet) RunTLS(protoAddr string, cfg *tls.Config, opts ...gnet.Option) error {
	if cfg == nil {
		return errors.New("esca: RunTLS needs a tls.Config")
	}
	return g.run([]string{protoAddr}, cfg, opts)
}

func (g *Gnet) run(addrs []string, cfg *tls.Config, opts []gnet.Option) error {
	set, err := newGnetSettings(addrs, cfg, opts)
	if err != nil {
		return err
	}
	e := &gnetEngine{g: g, set: set, given: addrs}
	e.buffers.New = func() any { b := make([]byte, set.ReadBufferCap); return &b }
	defer e.close()
	if err := e.listen(); err != nil {
		return err
	}
	if err := e.listenUDP(); err != nil {
		return err
	}
	for _, addr := range addrs {
		running.Store(addr, g)
		defer running.CompareAndDelete(addr, g)
	}
	return runShadow(e)
}

// listen opens the stream addresses.
func (e *gnetEngine) listen() error {
	if len(e.set.streams) == 0 {
		return nil
	}
	opts := append(e.set.connOptions(), e.g.opts...)
	for i, a := range e.set.streams {
		if a.network == "unix" {
			if err := removeSocket(a.address); err != nil {
				return err
			}
		}
		if i == 0 {
			ln, err := conn.Listen(a.network, a.address, opts...)
			if err != nil {
				return err
			}
			e.ln = ln
			continue
		}
		lc := net.ListenConfig{KeepAlive: -1, Control: e.set.control}
		ln, err := lc.Listen(context.Background(), a.network, a.address)
		if err != nil {
			return err
		}
		e.more = append(e.more, ln)
	}
	for i := range e.ln.Loops() {
		e.loops = append(e.loops, &gnetLoop{e, e.ln, i})
	}
	return nil
}

// removeSocket removes what another run has left, as gnet does, but nothing else.
func removeSocket(file string) error {
	st, err := os.Lstat(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Mode()&os.ModeSocket == 0:
		return fmt.Errorf("esca: listen unix %s: the file exists, and is not a socket: remove it, or choose another name", file)
	}
	return os.Remove(file)
}

// start has the loops accept.
func (e *gnetEngine) start() {
	var err error
	if e.ln != nil {
		err = e.ln.Start(e)
	}
	for _, u := range e.udp {
		err = errors.Join(err, u.ln.Start(u))
	}
	if err != nil && !e.stopping.Load() {
		e.set.Logger.Errorf("esca: %v", err)
		e.shutdown()
		return
	}
	for _, ln := range e.more {
		go e.acceptFrom(ln)
	}
}

// acceptFrom gives the loops what an address other than the first accepts.
func (e *gnetEngine) acceptFrom(ln net.Listener) {
	const pause = 50 * time.Millisecond
	for {
		nc, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			e.set.Logger.Warnf("esca: accept on %s: %v: again in %v", ln.Addr(), err, pause)
			time.Sleep(pause)
			continue
		}
		if tc, ok := nc.(*net.TCPConn); ok && e.set.TCPNoDelay == gnet.TCPDelay {
			tc.SetNoDelay(false) // package net has set it
		}
		if err := e.ln.Enroll(-1, nc, nil); err != nil {
			nc.Close()
		}
	}
}

// stop closes everything, and returns when that is over.
func (e *gnetEngine) stop() {
	e.stopping.Store(true)
	e.closed.Store(true)
	e.peers.Range(func(c, _ any) bool { c.(*gnetPeer).Close(); return true })
	e.close()
	for _, u := range e.udp {
		u.ln.Wait()
	}
	if e.ln == nil {
		return
	}
	ended := make(chan struct{})
	go func() {
		e.ln.Wait()
		close(ended)
	}()
	// Again and again: a connection may be inside a callback, or about to open.
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for {
		e.ln.CloseIdle()
		e.shaking.Range(func(c, _ any) bool { c.(*conn.Conn).Close(); return true })
		select {
		case <-ended:
			return
		case <-t.C:
		}
	}
}

// close stops listening. Again is harmless.
func (e *gnetEngine) close() {
	if e.ln != nil {
		e.ln.Close()
	}
	for _, ln := range e.more {
		ln.Close()
	}
	for _, u := range e.udp {
		u.ln.Close()
	}
}

// shutdown is what gnet.Shutdown asks for.
func (e *gnetEngine) shutdown() {
	if !e.stopping.Swap(true) {
		go e.eng.Stop(context.Background())
	}
}

// CountConnections returns how many connections are open, -1 before Run and after it.
func (g *Gnet) CountConnections() int {
	e, err := g.running()
	if err != nil {
		return -1
	}
	return int(e.conns.Load()) + max(e.eng.CountConnections(), 0)
}

// running returns what runs, or gnet's error if nothing does, any more.
func (g *Gnet) running() (*gnetEngine, error) {
	e, err := g.engine()
	if err == nil && e.closed.Load() {
		err = errEngineInShutdown
	}
	if err == nil {
		err = e.eng.Validate()
	}
	return e, err
}

// Register is gnet.Engine's, but on esca's loops: the engine's own Register puts
// the connection on a loop of gnet's. So it is where all addresses are of udp, and the
// connection is not.
func (g *Gnet) Register(ctx context.Context) (<-chan gnet.RegisteredResult, error) {
	e, err := g.running()
	if err != nil {
		return nil, err
	}
	l := &gnetLoop{e, e.first(), -1}
	if nc, ok := gnet.FromNetConnContext(ctx); ok {
		return l.Enroll(ctx, nc)
	}
	if addr, ok := gnet.FromNetAddrContext(ctx); ok {
		return l.Register(ctx, addr)
	}
	return nil, gneterrors.ErrInvalidNetworkAddress
}

// Dup returns a duplicate of the listening socket, which the caller closes. Of
// several addresses it is an error: see DupListener. Each loop has a socket of
// its own on the same port; it is the first loop's.
func (g *Gnet) Dup() (int, error) {
	e, err := g.running()
	switch {
	case err != nil:
		return -1, err
	case len(e.set.streams)+len(e.set.datagrams) != 1:
		return -1, gneterrors.ErrUnsupportedOp
	case len(e.set.streams) == 0:
		return dupFile(e.udp[0].ln)
	}
	return dupFile(e.ln)
}

// DupListener is Dup for one of several addresses: network is tcp, udp or unix,
// addr as in Run.
func (g *Gnet) DupListener(network, addr string) (int, error) {
	e, err := g.running()
	if err != nil {
		return -1, err
	}
	for i, a := range e.set.streams {
		if a.address != addr || a.network[:min(len(a.network), len(network))] != network {
			continue
		}
		if i == 0 {
			return dupFile(e.ln)
		}
		return dupFile(e.more[i-1].(filer))
	}
	if u := e.udpAt(network, addr); u != nil {
		return dupFile(u.ln)
	}
	return -1, gneterrors.ErrInvalidNetworkAddress
}

type filer interface{ File() (*os.File, error) }

func dupFile(of filer) (int, error) {
	f, err := of.File()
	switch {
	case errors.Is(err, net.ErrClosed): // the end has begun meanwhile
		return -1, errEngineInShutdown
	case err != nil:
		return -1, err
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("dup", err)
	}
	return fd, unix.SetNonblock(fd, true)
}

// Addrs returns the addresses listened on, those of tcp and unix in the order of Run, and
// then those of udp: it tells the port that the kernel has chosen.
func (g *Gnet) Addrs() ([]net.Addr, error) {
	e, err := g.engine()
	if err != nil {
		return nil, err
	}
	var addrs []net.Addr
	if len(e.set.streams) > 0 {
		addrs = append(addrs, e.ln.Addr())
	}
	for _, ln := range e.more {
		addrs = append(addrs, ln.Addr())
	}
	for _, u := range e.udp {
		addrs = append(addrs, u.ln.LocalAddr())
	}
	return addrs, nil
}

// Stats returns what the loops have done, and hold.
func (g *Gnet) Stats() Stats {
	e, err := g.engine()
	if err != nil {
		return Stats{}
	}
	var s conn.Stats
	if e.ln != nil {
		s = e.ln.Stats()
	}
	for _, u := range e.udp {
		of := u.ln.Stats()
		s.Backend, s.Loops = of.Backend, s.Loops+of.Loops
		s.Counts.Add(&of.Counts)
		s.Events, s.Steals = s.Events+of.Events, s.Steals+of.Steals
		s.BytesIn, s.BytesOut = s.BytesIn+of.BytesIn, s.BytesOut+of.BytesOut
		s.PacketsIn, s.PacketsOut, s.PacketsDropped = s.PacketsIn+of.PacketsIn, s.PacketsOut+of.PacketsOut, s.PacketsDropped+of.PacketsDropped
	}
	return Stats{Stats: s}
}
