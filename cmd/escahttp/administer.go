package main

import (
	"errors"
	"io"
	"net"
	"os"

	"github.com/escahttp/esca/cmd/escahttp/internal/admin"
	"github.com/escahttp/esca/server"
)

var errStopping = errors.New("it is being stopped")

// administer answers on ln what operators ask, until it is closed.
func (t *site) administer(ln net.Listener, srv *server.Server) io.Closer {
	m := t.metrics
	m.Gauge("escahttp_connections", func() float64 { return float64(t.clients.Count()) })
	m.Gauge("escahttp_cache_files", func() float64 { return float64(t.now.Load().files.Stats().Files) })
	m.Gauge("escahttp_cache_bytes", func() float64 { return float64(t.now.Load().files.Stats().Bytes) })
	m.Gauge("escahttp_open_files", func() float64 { return float64(t.now.Load().files.Stats().Open) })
	m.Gauge("escahttp_ready", func() float64 {
		if t.ready() != nil {
			return 0
		}
		return 1
	})
	t.addLoops(m, srv)
	s := &admin.Server{Ready: t.ready, Metrics: m}
	go s.Serve(ln)
	t.out.Printf("/healthz, /readyz and /metrics are on %s", ln.Addr())
	return s
}

// ready returns why clients should not be sent here.
func (t *site) ready() error {
	if t.stopping.Load() {
		return errStopping
	}
	root := t.now.Load().Root
	if root == "" {
		return nil
	}
	_, err := os.Stat(root)
	return err
}

// addLoops adds what the loops do.
func (t *site) addLoops(m *admin.Metrics, srv *server.Server) {
	for name, f := range map[string]func(s *server.Stats) float64{
		"escahttp_loops":                func(s *server.Stats) float64 { return float64(s.Loops) },
		"escahttp_loop_ticks_total":     func(s *server.Stats) float64 { return float64(s.Ticks) },
		"escahttp_loop_crossings_total": func(s *server.Stats) float64 { return float64(s.Crossings) },
		"escahttp_accepted_total":       func(s *server.Stats) float64 { return float64(s.Accepted) },
		"escahttp_received_bytes_total": func(s *server.Stats) float64 { return float64(s.BytesIn) },
		"escahttp_loop_steals_total":    func(s *server.Stats) float64 { return float64(s.Steals) },
		"escahttp_idle_connections":     func(s *server.Stats) float64 { return float64(s.Idle) },
	} {
		m.Gauge(name, func() float64 {
			s := srv.Stats()
			return f(&s)
		})
	}
}
