package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/server/internal/fast"
)

// peer is a connection. It is also what the server's ConnState is told of: its addresses,
// its TLS state and Close are good, the rest is an error.
type peer struct {
	all  *peers
	c    *quic.Conn
	id   uint64 // as fasthttp numbers connections
	ip   netip.Addr
	when time.Time

	requests atomic.Uint64

	mu     sync.Mutex
	active int       // requests that are being served
	since  time.Time // when the last one ended
	timer  *time.Timer
	gone   bool
}

// peerOf returns the connection of a request's context.
func peerOf(ctx context.Context) *peer { return ctx.Value(attemptKey{}).(*attempt).p }

// begin counts a request, and returns its number.
func (p *peer) begin() uint64 {
	p.all.requests.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active++; p.active == 1 {
		if p.timer != nil {
			p.timer.Stop()
		}
		p.tell(fasthttp.StateActive)
	}
	return p.requests.Add(1)
}

// end counts it out.
func (p *peer) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active--; p.active == 0 {
		p.since = time.Now()
		if p.timer != nil && !p.gone {
			p.timer.Reset(p.all.idle)
		}
		p.tell(fasthttp.StateIdle)
	}
}

// idleFor returns for how long there has been no request; zero: there is one.
func (p *peer) idleFor() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active > 0 {
		return 0
	}
	return time.Since(p.since)
}

// expire closes the connection when it has been without a request for too long.
func (p *peer) expire() {
	idle := p.idleFor()
	left := max(p.all.idle, p.untilHeard()) - idle
	if left <= 0 {
		p.Close()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active == 0 && !p.gone { // a request may have come and gone as the timer fired
		p.timer.Reset(left)
	}
}

// maxAckDelay is how long a client may wait before it acknowledges: RFC 9000, section 18.2.
const maxAckDelay = 25 * time.Millisecond

// untilHeard is how long what was sent last may take until the client has it: three probe
// timeouts (RFC 9002, section 6.2) are time to send it again, if it was lost. A connection
// that is closed before, other than TCP's, takes it along.
func (p *peer) untilHeard() time.Duration {
	path := p.c.ConnectionStats()
	return 3 * (path.SmoothedRTT + 4*path.MeanDeviation + maxAckDelay)
}

// tell tells the user's hook. With mu, so that it hears things in their order.
func (p *peer) tell(state fasthttp.ConnState) {
	if hook := p.all.fs.ConnState; hook != nil && !p.gone {
		hook(p, state)
	}
}

// leave is called when the connection has ended.
func (p *peer) leave() {
	p.all.forget(p)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	p.tell(fasthttp.StateClosed)
	p.gone = true
}

var errOneOfMany = errors.New("esca: a connection of HTTP/3 has many streams: it cannot be read or written")

func (p *peer) Read([]byte) (int, error)         { return 0, errOneOfMany }
func (p *peer) Write([]byte) (int, error)        { return 0, errOneOfMany }
func (p *peer) SetDeadline(time.Time) error      { return errOneOfMany }
func (p *peer) SetReadDeadline(time.Time) error  { return errOneOfMany }
func (p *peer) SetWriteDeadline(time.Time) error { return errOneOfMany }
func (p *peer) LocalAddr() net.Addr              { return addrOf(p.c.LocalAddr()) }
func (p *peer) RemoteAddr() net.Addr             { return addrOf(p.c.RemoteAddr()) }

// Close ends the connection, with all its requests.
func (p *peer) Close() error {
	return p.c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
}

// Handshake does nothing: there has been one.
func (p *peer) Handshake() error { return nil }

// ConnectionState is what was agreed upon.
func (p *peer) ConnectionState() tls.ConnectionState { return p.c.ConnectionState().TLS }

// addrOf returns a as what fasthttp takes for an address: its RemoteIP, and those who ask
// for the type, know those of TCP only.
func addrOf(a net.Addr) net.Addr {
	if ua, ok := a.(*net.UDPAddr); ok {
		return &net.TCPAddr{IP: ua.IP, Port: ua.Port, Zone: ua.Zone}
	}
	return a
}

// newPeer returns the peer of c.
func newPeer(all *peers, c *quic.Conn) *peer {
	p := &peer{all: all, c: c, id: fast.NewConnID(), when: time.Now(), since: time.Now()}
	if ua, ok := c.RemoteAddr().(*net.UDPAddr); ok {
		p.ip = ua.AddrPort().Addr().Unmap().WithZone("")
	}
	return p
}
