//go:build linux

package serving

import (
	"fmt"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/server"
)

// Esca is fs on esca's loops.
func Esca(fs *fasthttp.Server) Service { return escaService{server.New(fs)} }

type escaService struct{ *server.Server }

func (s escaService) Serve(cfg Config, ready func(string)) error {
	opts, err := cfg.options()
	if err != nil {
		return err
	}
	network, addr := cfg.Network()
	ln, err := conn.Listen(network, addr, opts...)
	if err != nil {
		return err
	}
	ready(ln.Addr().String())
	if cfg.Cert != "" {
		return s.ServeTLS(ln, cfg.Cert, cfg.Key)
	}
	return s.Server.Serve(ln)
}

// options are esca's own.
func (c Config) options() (opts []conn.Option, err error) {
	if c.Loops > 0 {
		opts = append(opts, conn.WithLoops(c.Loops))
	}
	if c.Backend != "" {
		opts = append(opts, conn.WithBackend(c.Backend))
	}
	if c.Degree > 0 {
		const fewestEntries = 4 // that a table can have
		opts = append(opts, conn.WithMemory(poller.Config{Events: c.Degree, Entries: max(fewestEntries, c.Degree)}))
	}
	if c.SlowFile != "" {
		f, _, err := poller.Choose(c.Backend)
		if err != nil {
			return nil, err
		}
		opts = append(opts, conn.WithFactory(slowFactory{f, c.SlowFile}))
	}
	return opts, nil
}

func (s escaService) Crossings() uint64 { return s.Stats().Crossings }

func (s escaService) Report() string { return fmt.Sprintf("%+v", s.Stats()) }
