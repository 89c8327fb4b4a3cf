package server

import (
	"context"
	"crypto/tls"
	"sync"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
)

// Run is gnet.Run on esca's loops: it serves h on protoAddr, such as
// "tcp://:9000" or "unix:///run/app.sock", until the engine is stopped. Every
// gnet.Option keeps its meaning, or is refused by name.
func Run(h gnet.EventHandler, protoAddr string, opts ...gnet.Option) error {
	return NewGnet(h).Run(protoAddr, opts...)
}

// Rotate is gnet.Rotate: Run on several addresses, with the same loops for all.
func Rotate(h gnet.EventHandler, addrs []string, opts ...gnet.Option) error {
	return NewGnet(h).Rotate(addrs, opts...)
}

// RunTLS is Run over TLS, which gnet has not: OnOpen comes after the handshake,
// and what the callbacks read and write is the plain text. TLSState tells of the
// handshake. cfg needs a certificate; protoAddr is a tcp or a unix one.
func RunTLS(h gnet.EventHandler, protoAddr string, cfg *tls.Config, opts ...gnet.Option) error {
	return NewGnet(h).RunTLS(protoAddr, cfg, opts...)
}

// Stop is gnet.Stop: it stops the engine that was run last on protoAddr, as that
// was written there.
func Stop(ctx context.Context, protoAddr string) error {
	v, ok := running.LoadAndDelete(protoAddr)
	if !ok {
		return gneterrors.ErrEngineInShutdown
	}
	return v.(*Gnet).Stop(ctx)
}

// running has the *Gnet of every address that one runs on.
var running sync.Map

// Gnet runs a gnet.EventHandler. It offers what Run has no room for: options of
// package conn, and what the gnet.Engine that OnBoot gets cannot tell. A Gnet is
// for one Run, or one after the other. Its methods may be called from any
// goroutine.
type Gnet struct {
	h    gnet.EventHandler
	opts []Option

	mu sync.Mutex
	e  *gnetEngine // nil: not running
}

// NewGnet returns a Gnet for h. opts come after what the gnet.Options of a Run
// set. With conn.WithDispatch(conn.DispatchGoroutine) OnTraffic runs on
// goroutines, and may block; callbacks of one connection still come in order, and
// one at a time.
func NewGnet(h gnet.EventHandler, opts ...Option) *Gnet { return &Gnet{h: h, opts: opts} }

// Run is Run, with g's options.
func (g *Gnet) Run(protoAddr string, opts ...gnet.Option) error {
	return g.run([]string{protoAddr}, nil, opts)
}

// Rotate is Rotate, with g's options.
func (g *Gnet) Rotate(addrs []string, opts ...gnet.Option) error {
	return g.run(addrs, nil, opts)
}

// engine returns what runs, or gnet's error if nothing does.
func (g *Gnet) engine() (*gnetEngine, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.e == nil {
		return nil, gneterrors.ErrEmptyEngine
	}
	return g.e, nil
}

// Stop is gnet.Engine's: OnShutdown is called, every connection closed, and the
// call returns when all that is over, or with ctx.Err().
func (g *Gnet) Stop(ctx context.Context) error {
	e, err := g.engine()
	if err != nil {
		return err
	}
	return e.eng.Stop(ctx)
}
