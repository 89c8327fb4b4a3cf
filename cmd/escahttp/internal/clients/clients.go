// Package clients keeps the connections of a server, to cut off those whose peer
// has stopped reading, and to bound how many one address has.
//
//	Clients.State   is the server's ConnState hook: who comes and goes
//	watch           looks at what the kernel has still to send, and whether the
//	                peer has taken anything since
package clients

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// Options of Clients.
type Options struct {
	// Stalled is after how long without progress a connection is cut off whose
	// peer does not take what is sent. Zero: never.
	Stalled time.Duration
	// PerAddress bounds how many connections one IP address has. Zero: no bound.
	PerAddress int
	// Refuse answers a connection that is one too many; it is closed after that.
	Refuse func(c net.Conn)
	// Logf is told of connections that were cut off or refused.
	Logf func(format string, args ...any)
}

// Clients are the connections of a server. Any number of goroutines may use it.
type Clients struct {
	o Options

	mu    sync.Mutex
	open  map[net.Conn]*client
	from  map[netip.Addr]int
	timer *time.Timer // nil: there are no connections
}

// client is one connection.
type client struct {
	conn net.Conn // beneath TLS
	addr netip.Addr
	progress
}

// New returns an empty Clients.
func New(o Options) *Clients {
	return &Clients{o: o, open: make(map[net.Conn]*client), from: make(map[netip.Addr]int)}
}

// Count returns how many connections are open.
func (s *Clients) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// State is a fasthttp.Server.ConnState.
func (s *Clients) State(c net.Conn, state fasthttp.ConnState) {
	switch state {
	case fasthttp.StateNew:
		s.come(c)
	case fasthttp.StateClosed, fasthttp.StateHijacked:
		s.leave(c)
	}
}

func (s *Clients) come(c net.Conn) {
	n := &client{conn: beneath(c), addr: addressOf(c)}
	s.mu.Lock()
	over := s.o.PerAddress > 0 && n.addr.IsValid() && s.from[n.addr] >= s.o.PerAddress
	if !over {
		s.open[c] = n
		if s.o.PerAddress > 0 && n.addr.IsValid() {
			s.from[n.addr]++
		}
		if s.o.Stalled > 0 && s.timer == nil {
			s.timer = time.AfterFunc(s.period(), s.watch)
		}
	}
	s.mu.Unlock()
	if over {
		s.o.Logf("a connection from %v is one more than --max-conns-per-ip=%d allows", n.addr, s.o.PerAddress)
		s.o.Refuse(c)
		n.conn.Close()
	}
}

func (s *Clients) leave(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.open[c]
	if n == nil {
		return
	}
	delete(s.open, c)
	if s.o.PerAddress > 0 && n.addr.IsValid() {
		if s.from[n.addr]--; s.from[n.addr] == 0 {
			delete(s.from, n.addr)
		}
	}
}

// looks is how often a connection is looked at before it counts as stalled.
const looks = 8

func (s *Clients) period() time.Duration {
	return min(max(s.o.Stalled/looks, 10*time.Millisecond), 5*time.Second)
}

// watch looks at every connection, and cuts off those that have stalled.
func (s *Clients) watch() {
	s.mu.Lock()
	all := make([]*client, 0, len(s.open))
	for _, n := range s.open {
		all = append(all, n)
	}
	s.mu.Unlock()
	now := time.Now()
	for _, n := range all {
		if n.stalled(n.conn, now) >= s.o.Stalled {
			s.o.Logf("%v takes nothing for %v: the connection is cut off", n.conn.RemoteAddr(), s.o.Stalled)
			cut(n.conn)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer = nil; len(s.open) > 0 {
		s.timer = time.AfterFunc(s.period(), s.watch)
	}
}

// cut closes c at once: what is still to be sent is dropped.
func cut(c net.Conn) {
	if l, ok := c.(interface{ SetLinger(sec int) error }); ok {
		l.SetLinger(0)
	}
	c.Close()
}

// beneath returns the connection that TLS is spoken over.
func beneath(c net.Conn) net.Conn {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return c
}

func addressOf(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
