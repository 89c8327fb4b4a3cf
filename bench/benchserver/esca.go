package main

import (
	"fmt"
	"net"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// escaService is the same fasthttp.Server on esca's loops.
type escaService struct{ *server.Server }

func init() {
	runtimes["esca"] = func() service { return escaService{server.New(newFasthttpServer())} }
}

func (escaService) Listen(cfg config) (net.Listener, error) {
	var opts []conn.Option
	if cfg.loops > 0 {
		opts = append(opts, conn.WithLoops(cfg.loops))
	}
	if cfg.backend != "" {
		opts = append(opts, conn.WithBackend(cfg.backend))
	}
	return conn.Listen("tcp4", cfg.addr, opts...)
}

func (s escaService) Report() string { return fmt.Sprintf("%+v", s.Stats()) }
