package conn

import (
	"context"
	"net"
	"sync"
)

// Dialer dials connections that live on loops, as those do that a Listener accepts: what
// a proxy sends to its clients and to its upstreams leaves in the same crossing, and a
// handler that waits for an upstream keeps no loop meanwhile. DialContext is what
// net/http's Transport.DialContext takes; for fasthttp.Client.Dial see Dial.
//
// The zero Dialer is ready, and may be copied. Any goroutine may use it.
type Dialer struct {
	// NetDialer looks names up and connects: timeouts, addresses, keep-alive and
	// hooks are its. Nil: a zero net.Dialer. Its errors are passed on as they are.
	NetDialer *net.Dialer

	// Listener, if there is one, is whose loops connections go to. Each loop ends
	// with its last connection, dialled ones as well, also after Close; Wait does
	// not wait for those. Once they have ended, it is as if there were none.
	//
	// With nil, a worker that serves a connection (Listener.Serve) dials onto its own
	// loop. Whoever else dials has loops in common, as many as Listen makes by default,
	// which are made for the first connection, and end a second after the last is closed.
	//
	// Of several loops, the caller's comes first, then that with the fewest connections.
	Listener *Listener
}

// Dial is DialContext without a context.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// Dial connects to address with a zero Dialer; network is tcp, tcp4, tcp6 or unix, or,
// for a *PacketConn, udp, udp4, udp6 or unixgram.
func Dial(network, address string) (net.Conn, error) {
	return new(Dialer).Dial(network, address)
}

// DialContext is Dial, and gives up when ctx is done.
func DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return new(Dialer).DialContext(ctx, network, address)
}

// netDialer is d.NetDialer, or the zero one.
func (d *Dialer) netDialer() *net.Dialer {
	if d.NetDialer != nil {
		return d.NetDialer
	}
	return new(net.Dialer)
}

// checkDial refuses networks that are neither streams nor datagrams, and says which.
func checkDial(network string) (datagrams bool, err error) {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
		return false, nil
	case "udp", "udp4", "udp6", "unixgram":
		return true, nil
	}
	return false, &net.OpError{Op: "dial", Net: network, Err: net.UnknownNetworkError(network + " (esca dials tcp, tcp4, tcp6 and unix, and udp, udp4, udp6 and unixgram)")}
}

// PerLoop is a value for each loop, made by New when a handler first asks for it there.
// What keeps dialled connections, such as a fasthttp.HostClient, is best one: a handler
// then gets a connection that is on its own loop, where a request to an upstream costs
// neither a lock that another loop has nor a wake-up. A value is forgotten with its loop.
//
// New is called on the goroutine that calls Get, now and then once too often. A PerLoop
// must not be copied. Any goroutine may use it.
type PerLoop[T any] struct {
	New func() T

	once  sync.Once
	value T // for whoever is on no loop
}

func (p *PerLoop[T]) others() T {
	p.once.Do(func() { p.value = p.New() })
	return p.value
}
