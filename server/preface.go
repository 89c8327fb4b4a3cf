package server

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// prefaceReader reads what comes in front of the first request. See Server.Preface.
type prefaceReader func(c net.Conn) (peer net.Addr, err error)

// Preface has read read what comes on each connection before anything else, TLS
// included, such as the header of the PROXY protocol. It must read no more of c than
// that, may wait for it, and must leave deadlines and the end of c alone: it has
// ReadTimeout from when the connection was accepted, or thirty seconds where there is no
// such limit. peer, unless nil, is what RemoteAddr is from then on; MaxConnsPerIP and
// ConnState have it too. An error closes the connection without an answer. To be called
// before Serve.
//
// Where fasthttp itself serves (Serve of other listeners, other systems), ConnState is
// told of a connection before its preface has come.
func (s *Server) Preface(read func(c net.Conn) (peer net.Addr, err error)) { s.preface = read }

// prefaceTime is how long a preface may take to arrive where requests have no limit.
const prefaceTime = 30 * time.Second

// withPreface is ln for fasthttp's own runtime.
func (s *Server) withPreface(ln net.Listener) net.Listener {
	if s.preface == nil {
		return ln
	}
	p := prefacedListener{Listener: ln, read: s.preface}
	if s.fs.ReadTimeout <= 0 {
		p.within = prefaceTime
	}
	return p
}

type prefacedListener struct {
	net.Listener
	read   prefaceReader
	within time.Duration // zero: the deadline is set by who reads
}

// Accept is net.Listener's.
func (ln prefacedListener) Accept() (net.Conn, error) {
	c, err := ln.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &prefacedConn{Conn: c, ln: ln}, nil
}

// prefacedConn is a connection whose first Read reads its preface.
type prefacedConn struct {
	net.Conn
	ln   prefacedListener
	once sync.Once
	peer atomic.Pointer[net.Addr]
	err  error
}

// Read is net.Conn's.
func (c *prefacedConn) Read(p []byte) (int, error) {
	c.once.Do(c.begin)
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(p)
}

func (c *prefacedConn) begin() {
	if d := c.ln.within; d > 0 {
		c.SetReadDeadline(time.Now().Add(d))
		defer c.SetReadDeadline(time.Time{})
	}
	peer, err := c.ln.read(c.Conn)
	if err != nil {
		c.err = io.EOF // for fasthttp, which answers all others
		return
	}
	if peer != nil {
		c.peer.Store(&peer)
	}
}

// RemoteAddr is the peer's, or that which the preface has said.
func (c *prefacedConn) RemoteAddr() net.Addr {
	if a := c.peer.Load(); a != nil {
		return *a
	}
	return c.Conn.RemoteAddr()
}

// NetConn returns the connection itself.
func (c *prefacedConn) NetConn() net.Conn { return c.Conn }

// ReadFrom is the connection's: files go by sendfile.
func (c *prefacedConn) ReadFrom(r io.Reader) (int64, error) {
	if rf, ok := c.Conn.(io.ReaderFrom); ok {
		return rf.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}
