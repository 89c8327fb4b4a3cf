// Package admin is what operators ask, on an address of its own: is it alive (/healthz),
// is it ready for clients (/readyz), what does it do (/metrics).
package admin

import (
	"fmt"
	"net"
	"net/http"
	"time"
)

// Server answers them.
type Server struct {
	ready   func() error
	metrics *Metrics
	http    http.Server
}

// within bounds what a request may take: nobody needs more.
const within = 10 * time.Second

// Start has a Server answer on ln until Close. ready returns why we are not ready for
// clients; nil: we are.
func Start(ln net.Listener, ready func() error, m *Metrics) *Server {
	s := &Server{ready: ready, metrics: m}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.answerReady)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		s.metrics.write(w)
	})
	s.http = http.Server{Handler: mux, ReadTimeout: within, WriteTimeout: within, IdleTimeout: 6 * within, MaxHeaderBytes: 16 << 10}
	go s.http.Serve(ln)
	return s
}

// Close ends it.
func (s *Server) Close() error { return s.http.Close() }

func (s *Server) answerReady(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if err := s.ready(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}
