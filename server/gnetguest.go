//go:build linux && (amd64 || arm64)

package server

import (
	"context"
	"net"

	"github.com/panjf2000/gnet/v2"
)

// What is registered with gnet itself has its callbacks on a goroutine of gnet's. Where
// all callbacks are to come one at a time they are run on the first of our loops, and gnet
// waits for it.

// first has the loop that is the only one, where there is only one.
func (e *gnetEngine) first() gnetLoops {
	if e.ln != nil {
		return e.ln
	}
	return e.udp[0].ln
}

func (e *gnetEngine) serial() bool { return e.first().Serial() }

// alone runs f, a callback of something that another loop than the first serves.
func (e *gnetEngine) alone(f func()) {
	if !e.serial() || !e.first().Do(0, f) { // or the loop has ended
		f()
	}
}

// gnetGuest is the gnet.Conn of what is registered with gnet, in that case.
type gnetGuest struct {
	gnet.Conn
	e   *gnetEngine
	ctx any
}

// guest is what the application is to see of c.
func (e *gnetEngine) guest(c gnet.Conn) gnet.Conn {
	if g, ok := c.Context().(*gnetGuest); ok { // registered by registerGuest
		if g.Conn == nil {
			g.Conn = c
			g.SetSafeContext(g.ctx)
		}
		return g
	}
	if _, udp := c.LocalAddr().(*net.UDPAddr); udp && e.serial() && c.Context() == nil {
		return &gnetGuest{Conn: c, e: e}
	}
	return c
}

// register is the engine's Register, for loops that come at the same time.
func (e *gnetEngine) register(ctx context.Context) (<-chan gnet.RegisteredResult, error) {
	e.next.Lock()
	defer e.next.Unlock()
	return e.eng.Register(ctx)
}

// registerGuest has gnet register what ctx names.
func (e *gnetEngine) registerGuest(ctx context.Context) (<-chan gnet.RegisteredResult, error) {
	if !e.serial() {
		return e.register(ctx)
	}
	g := &gnetGuest{e: e, ctx: gnet.FromContext(ctx)}
	from, err := e.register(gnet.NewContext(ctx, g))
	if err != nil {
		return nil, err
	}
	done := make(chan gnet.RegisteredResult, 1)
	go func() {
		defer close(done)
		for res := range from {
			if res.Conn != nil {
				res.Conn = g
			}
			done <- res
		}
	}()
	return done, nil
}

// EventLoop implements gnet.Conn.
func (g *gnetGuest) EventLoop() gnet.EventLoop {
	if g.e.ln == nil {
		return g.e.udp[0].loops[0]
	}
	return g.e.loops[0]
}

// Context implements gnet.Conn.
func (g *gnetGuest) Context() any { return g.ctx }

// SetContext implements gnet.Conn.
func (g *gnetGuest) SetContext(ctx any) { g.ctx = ctx }

// Wake implements gnet.Conn.
func (g *gnetGuest) Wake(callback gnet.AsyncCallback) error { return g.Conn.Wake(g.asked(callback)) }

// CloseWithCallback implements gnet.Conn.
func (g *gnetGuest) CloseWithCallback(callback gnet.AsyncCallback) error {
	return g.Conn.CloseWithCallback(g.asked(callback))
}

// asked has the application's callback get g.
func (g *gnetGuest) asked(callback gnet.AsyncCallback) gnet.AsyncCallback {
	if callback == nil {
		return nil
	}
	return func(_ gnet.Conn, err error) (cerr error) {
		g.e.alone(func() { cerr = callback(g, err) })
		return cerr
	}
}
