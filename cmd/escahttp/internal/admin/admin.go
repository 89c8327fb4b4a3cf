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
	// Ready returns why it is not ready for clients; nil: it is.
	Ready func() error
	// Metrics is what is counted.
	Metrics *Metrics

	http http.Server
}

// within bounds what a request may take: nobody needs more.
const within = 10 * time.Second

// Serve serves ln until Close.
func (s *Server) Serve(ln net.Listener) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		s.Metrics.write(w)
	})
	s.http = http.Server{Handler: mux, ReadTimeout: within, WriteTimeout: within, IdleTimeout: 6 * within, MaxHeaderBytes: 16 << 10}
	s.http.Serve(ln)
}

// Close ends it.
func (s *Server) Close() error { return s.http.Close() }

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if err := s.Ready(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}
