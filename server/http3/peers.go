package http3

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/valyala/fasthttp"
)

// peers are the connections of a serving.
//
//	come ─► handshake ─► admit ─► requests … ─► forget
//
// A connection counts for Concurrency and MaxConnsPerIP when its handshake is complete:
// before that its address may be anybody's.
type peers struct {
	fs   *fasthttp.Server
	idle time.Duration // how long one may be without a request; 0: as QUIC has it

	shaking  atomic.Int64 // connections whose handshake is under way
	accepted atomic.Uint64
	rejected atomic.Uint64
	requests atomic.Uint64
	stopping atomic.Bool // nobody is let in any more

	mu   sync.Mutex
	open map[*peer]struct{}
	from map[netip.Addr]int
}

func (ps *peers) init(fs *fasthttp.Server) {
	ps.fs = fs
	ps.open, ps.from = make(map[*peer]struct{}), make(map[netip.Addr]int)
	if ps.idle = fs.IdleTimeout; ps.idle <= 0 {
		ps.idle = max(fs.ReadTimeout, 0)
	}
}

var errStopping = errors.New("esca: the server stops")

// attempt is a connection, from its first packet on.
type attempt struct {
	ps   *peers
	over sync.Once
	p    *peer // once it is admitted
}

type attemptKey struct{}

// come is called with a connection's first packet. The context that it returns ends with
// the connection, or when the handshake fails.
func (ps *peers) come(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	if ps.stopping.Load() {
		return ctx, errStopping // the client is told, and tries elsewhere at once
	}
	a := &attempt{ps: ps}
	ps.shaking.Add(1)
	context.AfterFunc(ctx, a.end)
	return context.WithValue(ctx, attemptKey{}, a), nil
}

// end is called when the handshake is over, one way or the other.
func (a *attempt) end() { a.over.Do(func() { a.ps.shaking.Add(-1) }) }

// mostShaking is how many handshakes may be under way before clients have to show that their
// address is theirs, which takes them one round trip more.
const mostShaking = 256

// crowded reports whether they have to.
func (ps *peers) crowded(net.Addr) bool { return ps.shaking.Load() > mostShaking }

// admit counts c in. False: it is one too many, and closed.
func (ps *peers) admit(c *quic.Conn) bool {
	ps.accepted.Add(1)
	a := c.Context().Value(attemptKey{}).(*attempt)
	a.end()
	most := ps.fs.Concurrency
	if most <= 0 {
		most = fasthttp.DefaultConcurrency
	}
	p := newPeer(ps, c)
	a.p = p
	ps.mu.Lock()
	over := len(ps.open) >= most || ps.fs.MaxConnsPerIP > 0 && p.ip.IsValid() && ps.from[p.ip] >= ps.fs.MaxConnsPerIP
	if !over {
		ps.open[p] = struct{}{}
		ps.from[p.ip]++
	}
	ps.mu.Unlock()
	if over {
		ps.rejected.Add(1)
		c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "too many connections")
		return false
	}
	p.mu.Lock()
	p.tell(fasthttp.StateNew)
	if ps.idle > 0 {
		p.timer = time.AfterFunc(ps.idle, p.expire)
	}
	p.mu.Unlock()
	context.AfterFunc(c.Context(), p.leave)
	return true
}

func (ps *peers) forget(p *peer) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	delete(ps.open, p)
	if ps.from[p.ip]--; ps.from[p.ip] == 0 {
		delete(ps.from, p.ip)
	}
}

func (ps *peers) all() (list []*peer) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for p := range ps.open {
		list = append(list, p)
	}
	return list
}

func (ps *peers) closeAll() {
	for _, p := range ps.all() {
		p.Close()
	}
}

// farewell is how long at least a client that has been told that the server stops may be
// without a request before its connection is closed. Most close it themselves, at once.
const farewell = 500 * time.Millisecond

// drain closes connections that are idle, again and again, until quit is closed.
func (ps *peers) drain(quit <-chan struct{}) {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	began := time.Now()
	for {
		for _, p := range ps.all() {
			if min(p.idleFor(), time.Since(began)) > max(farewell, p.untilHeard()) {
				p.Close()
			}
		}
		select {
		case <-t.C:
		case <-quit:
			return
		}
	}
}

// listener passes on the connections that are admitted.
type listener struct {
	*quic.Listener
	peers *peers
}

// Accept is http3.QUICListener's.
func (l *listener) Accept(ctx context.Context) (*quic.Conn, error) {
	for {
		c, err := l.Listener.Accept(ctx)
		if err != nil {
			return nil, err
		}
		if l.peers.admit(c) {
			return c, nil
		}
	}
}
