//go:build linux && (amd64 || arm64)

package server

import (
	"crypto/tls"
	"errors"
	"io"
	"os"
	"time"

	"github.com/panjf2000/gnet/v2"

	"github.com/escahttp/esca/conn"
)

// handshakeLimit is how long a client may take for its handshake, during which
// it has a coroutine.
const handshakeLimit = 10 * time.Second

// gnetTLS is TLS over a connection.
type gnetTLS struct{ *tls.Conn }

func newGnetTLS(c *gnetConn, cfg *tls.Config) *gnetTLS {
	return &gnetTLS{tls.Server(tlsTransport{c.c}, cfg)}
}

// tlsTransport has records queued: callbacks do not wait.
type tlsTransport struct{ *conn.Conn }

func (t tlsTransport) Write(p []byte) (int, error) { return conn.BurstOf(t.Conn).Enqueue(p) }

// TLSState tells of the handshake of a connection of RunTLS; false: it is none.
func TLSState(c gnet.Conn) (tls.ConnectionState, bool) {
	gc, ok := c.(*gnetConn)
	if !ok || gc.tls == nil {
		return tls.ConnectionState{}, false
	}
	return gc.tls.ConnectionState(), true
}

// serveTLS is serve over TLS.
func (c *gnetConn) serveTLS() {
	if !c.opened && !c.shakeHands() {
		return
	}
	c.leftover()
	e := c.loop.e
	buf := e.buffers.Get().(*[]byte)
	defer e.buffers.Put(buf)
	for left := e.set.turn; !c.closed; {
		if left <= 0 {
			c.b.Poke() // tls may hold what no event would come for
			return
		}
		if c.b.Paused() {
			if _, _, err := c.b.Input(); err != nil {
				c.close(err)
			}
			return
		}
		// Where Read would wait, the burst is over.
		c.b.AtBoundary(conn.ErrBurstOver)
		n, err := c.tls.Read(*buf)
		c.b.AtBoundary(nil)
		left -= n
		if n > 0 {
			c.traffic((*buf)[:n])
		}
		switch {
		case err == nil:
		case errors.Is(err, conn.ErrBurstOver):
			return
		case err == io.EOF:
			c.close(os.NewSyscallError("read", io.EOF)) // as without TLS
		default:
			c.close(err)
		}
	}
}

// shakeHands waits for the handshake, and opens the connection.
func (c *gnetConn) shakeHands() bool {
	e := c.loop.e
	e.shaking.Store(c.c, nil)
	defer e.shaking.Delete(c.c)
	c.c.SetReadDeadline(time.Now().Add(handshakeLimit))
	if err := c.tls.Handshake(); err != nil {
		e.set.Logger.Debugf("esca: TLS handshake with %s: %v", c.RemoteAddr(), err)
		c.close(err)
		return false
	}
	c.c.SetReadDeadline(time.Time{})
	c.open()
	return !c.closed
}
