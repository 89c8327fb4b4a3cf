//go:build !(linux && (amd64 || arm64))

package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"

	"github.com/panjf2000/gnet/v2"
)

// gnetEngine is gnet's own engine here: this system has no loops.
type gnetEngine struct{ eng gnet.Engine }

// booted tells g of its engine.
type booted struct {
	gnet.EventHandler
	g *Gnet
}

func (b booted) OnBoot(eng gnet.Engine) gnet.Action {
	b.g.mu.Lock()
	b.g.e = &gnetEngine{eng}
	b.g.mu.Unlock()
	return b.EventHandler.OnBoot(eng)
}

func (g *Gnet) run(addrs []string, _ *tls.Config, opts []gnet.Option) error {
	for _, addr := range addrs {
		running.Store(addr, g)
		defer running.CompareAndDelete(addr, g)
	}
	return gnet.Rotate(booted{g.h, g}, addrs, opts...)
}

// RunTLS needs Linux on amd64 or arm64.
func (g *Gnet) RunTLS(string, *tls.Config, ...gnet.Option) error {
	return errors.New("esca: RunTLS needs Linux on amd64 or arm64: elsewhere gnet itself runs, which has no TLS")
}

// TLSState reports false on this system.
func TLSState(gnet.Conn) (tls.ConnectionState, bool) { return tls.ConnectionState{}, false }

// CountConnections is gnet.Engine's.
func (g *Gnet) CountConnections() int {
	e, err := g.engine()
	if err != nil {
		return -1
	}
	return e.eng.CountConnections()
}

// Register is gnet.Engine's.
func (g *Gnet) Register(ctx context.Context) (<-chan gnet.RegisteredResult, error) {
	e, err := g.engine()
	if err != nil {
		return nil, err
	}
	return e.eng.Register(ctx)
}

// Dup is gnet.Engine's.
func (g *Gnet) Dup() (int, error) {
	e, err := g.engine()
	if err != nil {
		return -1, err
	}
	return e.eng.Dup()
}

// DupListener is gnet.Engine's.
func (g *Gnet) DupListener(network, addr string) (int, error) {
	e, err := g.engine()
	if err != nil {
		return -1, err
	}
	return e.eng.DupListener(network, addr)
}

// Addrs returns the addresses listened on. On this system it cannot tell.
func (g *Gnet) Addrs() ([]net.Addr, error) { return nil, os.ErrInvalid }

// Stats has nothing to tell on this system.
func (g *Gnet) Stats() Stats { return Stats{} }
