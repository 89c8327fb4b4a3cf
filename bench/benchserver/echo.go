//go:build linux

package main

import (
	"context"
	"fmt"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"

	"github.com/escahttp/esca/bench/internal/serving"
	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// echoService sends back what it gets: the same gnet.EventHandler on gnet itself
// and on esca.
type echoService struct {
	gnet.BuiltinEventEngine
	engine gnet.Engine
	ready  func()
	booted chan struct{}
	esca   *server.Gnet // nil: on gnet
	frame  int          // bytes of a message that is answered by itself; 0: all that has come is
}

func newEcho() *echoService { return &echoService{booted: make(chan struct{})} }

func init() {
	runtimes["gnet-echo"] = func(serving.Config) (serving.Service, error) { return newEcho(), nil }
	runtimes["esca-echo"] = func(serving.Config) (serving.Service, error) { return escaEcho{newEcho()}, nil }
}

// silent keeps gnet's lines out of what bench reads.
func silent() gnet.Option {
	l, _, err := logging.CreateLoggerAsLocalFile("/dev/null", logging.ErrorLevel)
	if err != nil {
		return func(*gnet.Options) {}
	}
	return gnet.WithLogger(l)
}

func (s *echoService) Serve(cfg serving.Config, ready func(string)) error {
	network, addr := cfg.Network()
	s.ready, s.frame = func() { ready(addr) }, cfg.Frame
	if s.esca != nil {
		return s.esca.Run(network+"://"+addr, gnet.WithMulticore(true), silent())
	}
	return gnet.Run(s, network+"://"+addr, gnet.WithMulticore(true), silent())
}

func (s *echoService) OnBoot(engine gnet.Engine) gnet.Action {
	s.engine = engine
	close(s.booted)
	s.ready()
	return gnet.None
}

func (s *echoService) OnTraffic(c gnet.Conn) gnet.Action {
	if s.frame > 0 {
		for c.InboundBuffered() >= s.frame {
			b, _ := c.Next(s.frame)
			if _, err := c.Write(b); err != nil {
				return gnet.Close
			}
		}
		return gnet.None
	}
	b, _ := c.Next(-1)
	if _, err := c.Write(b); err != nil {
		return gnet.Close
	}
	return gnet.None
}

func (s *echoService) Shutdown(ctx context.Context) error {
	select {
	case <-s.booted:
		return s.engine.Stop(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// escaEcho has what only esca tells.
type escaEcho struct{ *echoService }

func (s escaEcho) Serve(cfg serving.Config, ready func(string)) error {
	var opts []conn.Option
	if cfg.Loops > 0 {
		opts = append(opts, conn.WithLoops(cfg.Loops))
	}
	if cfg.Backend != "" {
		opts = append(opts, conn.WithBackend(cfg.Backend))
	}
	s.esca = server.NewGnet(s.echoService, opts...)
	return s.echoService.Serve(cfg, ready)
}

func (s escaEcho) Crossings() uint64 { return s.esca.Stats().Crossings }

func (s escaEcho) Report() string { return fmt.Sprintf("%+v", s.esca.Stats()) }
