//go:build linux

package main

import (
	"fmt"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/server"
)

// escaService is the same fasthttp.Server on esca's loops.
type escaService struct{ *server.Server }

func init() {
	runtimes["esca"] = func(root string) service { return escaService{server.New(newFasthttpServer(root))} }
}

func (s escaService) Serve(cfg config, ready func(string)) error {
	var opts []conn.Option
	if cfg.loops > 0 {
		opts = append(opts, conn.WithLoops(cfg.loops))
	}
	if cfg.backend != "" {
		opts = append(opts, conn.WithBackend(cfg.backend))
	}
	if cfg.degree > 0 {
		const fewestEntries = 4 // that a table can have
		opts = append(opts, conn.WithMemory(poller.Config{Events: cfg.degree, Entries: max(fewestEntries, cfg.degree)}))
	}
	network, addr := cfg.network()
	ln, err := conn.Listen(network, addr, opts...)
	if err != nil {
		return err
	}
	ready(ln.Addr().String())
	return s.Server.Serve(ln)
}

func (s escaService) Crossings() uint64 { return s.Stats().Crossings }

func (s escaService) Report() string { return fmt.Sprintf("%+v", s.Stats()) }
