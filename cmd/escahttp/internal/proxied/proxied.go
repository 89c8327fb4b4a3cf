// Package proxied accepts connections from proxies that begin them with a PROXY header
// (versions 1 and 2), which says whom they speak for.
//
//	accept ──► header, on a goroutine of its own, within a time ──► Accept
//
// Who is not trusted is refused, and so is one that sends no header: it is never guessed.
package proxied

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/escahttp/esca/cmd/escahttp/internal/realip"
)

// Options of a Listener.
type Options struct {
	// Trusted are the proxies. Peers over a unix socket are trusted.
	Trusted realip.Prefixes
	// Within is how long a header may take to arrive.
	Within time.Duration
	// Logf is told of connections that are refused.
	Logf func(format string, args ...any)
}

const (
	// longestHeader bounds a header; with all that HAProxy can add it is some hundred bytes.
	longestHeader = 4 << 10
	// mostPending bounds how many connections are waited on for their headers.
	mostPending = 4 << 10
)

// Listener accepts connections whose header has come.
type Listener struct {
	net.Listener
	o     Options
	ready chan net.Conn
	slots chan struct{}
	done  chan struct{}
	once  sync.Once

	mu  sync.Mutex
	err error
}

// Listen takes ln over.
func Listen(ln net.Listener, o Options) *Listener {
	l := &Listener{Listener: ln, o: o, ready: make(chan net.Conn), slots: make(chan struct{}, mostPending), done: make(chan struct{})}
	go l.accept()
	return l
}

// Accept returns the next connection; its RemoteAddr is the client's.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.done:
		l.mu.Lock()
		defer l.mu.Unlock()
		return nil, l.err
	}
}

// Close stops accepting.
func (l *Listener) Close() error {
	err := l.Listener.Close()
	l.end(net.ErrClosed)
	return err
}

func (l *Listener) end(err error) {
	l.once.Do(func() {
		l.mu.Lock()
		l.err = err
		l.mu.Unlock()
		close(l.done)
	})
}

func (l *Listener) accept() {
	for {
		l.slots <- struct{}{}
		c, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			if t, ok := err.(interface{ Temporary() bool }); ok && t.Temporary() {
				time.Sleep(10 * time.Millisecond)
				continue
			}
			l.end(err)
			return
		}
		go l.begin(c)
	}
}

// begin reads the header of c, and hands c on.
func (l *Listener) begin(c net.Conn) {
	defer func() { <-l.slots }()
	p, err := l.read(c)
	if err != nil {
		l.o.Logf("a connection from %v is refused: %v", c.RemoteAddr(), err)
		c.Close()
		return
	}
	select {
	case l.ready <- p:
	case <-l.done:
		c.Close()
	}
}

func (l *Listener) read(c net.Conn) (*Conn, error) {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok && !l.o.Trusted.Contain(a.AddrPort().Addr()) {
		return nil, fmt.Errorf("it is none of --trusted-proxies, and --proxy-protocol is on")
	}
	if err := c.SetReadDeadline(time.Now().Add(l.o.Within)); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(c, longestHeader)
	peer, err := readHeader(r)
	if err != nil {
		return nil, fmt.Errorf("it does not begin with a PROXY header: %w", err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	if peer == nil {
		peer = c.RemoteAddr()
	}
	return &Conn{Conn: c, rest: r, peer: peer}, nil
}

// readHeader reads a header; peer is nil if the proxy speaks for itself.
func readHeader(r *bufio.Reader) (peer net.Addr, err error) {
	h, err := proxyproto.Read(r)
	if err != nil {
		return nil, err
	}
	if h.Command.IsLocal() {
		return nil, nil
	}
	a, ok := h.SourceAddr.(*net.TCPAddr)
	if !ok {
		return nil, nil
	}
	ip, ok := netip.AddrFromSlice(a.IP)
	if !ok {
		return nil, nil
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip.Unmap(), uint16(a.Port))), nil
}

// Conn is a connection that a proxy has made for somebody.
type Conn struct {
	net.Conn
	rest *bufio.Reader // what has come behind the header; nil: it was read
	peer net.Addr
}

// RemoteAddr is the address of the one whom the proxy speaks for.
func (c *Conn) RemoteAddr() net.Addr { return c.peer }

// NetConn returns the connection itself.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Read is net.Conn's.
func (c *Conn) Read(p []byte) (int, error) {
	if c.rest != nil {
		if c.rest.Buffered() > 0 {
			return c.rest.Read(p)
		}
		c.rest = nil
	}
	return c.Conn.Read(p)
}

// ReadFrom is the connection's: files go by sendfile.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	if rf, ok := c.Conn.(io.ReaderFrom); ok {
		return rf.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// SyscallConn is the connection's.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, syscall.ENOTSUP
}
