//go:build linux && (amd64 || arm64)

package server

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
)

// Server serves a *fasthttp.Server on loops. Its methods may be called from any
// goroutine.
type Server struct {
	fs   *fasthttp.Server
	opts []Option

	checkHead func(head []byte) error // nil: heads are fasthttp's alone

	mu       sync.Mutex
	servings []*serving
}

// Serve serves connections accepted from ln until ln is closed or the server is
// shut down, and returns nil then. ln comes from conn.Listen, or is a
// *net.TCPListener or *net.UnixListener, which is taken over (see
// conn.FromListener); any other is served by fasthttp itself.
func (s *Server) Serve(ln net.Listener) error { return s.serve(ln, nil) }

// ServeTLS serves TLS, with fs.TLSConfig and the certificate in the files named;
// both names may be empty if the configuration has one.
func (s *Server) ServeTLS(ln net.Listener, certFile, keyFile string) error {
	if !ours(ln) {
		return s.fs.ServeTLS(ln, certFile, keyFile)
	}
	cfg := s.fs.TLSConfig
	if cfg == nil || len(cfg.Certificates) == 0 && cfg.GetCertificate == nil || certFile != "" || keyFile != "" {
		if err := s.fs.AppendCert(certFile, keyFile); err != nil {
			return err
		}
	}
	return s.serve(ln, s.fs.TLSConfig.Clone())
}

// ours reports whether ln can be taken onto loops.
func ours(ln net.Listener) bool {
	switch ln.(type) {
	case *conn.Listener, *net.TCPListener, *net.UnixListener:
		return true
	}
	return false
}

func (s *Server) serve(ln net.Listener, cfg *tls.Config) error {
	if !ours(ln) {
		return s.fs.Serve(ln)
	}
	cl, err := conn.FromListener(ln, s.opts...)
	if err != nil {
		return unlessClosed(err)
	}
	sv, err := newServing(s, cl, cfg)
	if err != nil {
		cl.Close()
		return unlessClosed(err)
	}
	s.mu.Lock()
	s.servings = append(s.servings, sv)
	s.mu.Unlock()
	return sv.run()
}

// unlessClosed is err, or nil if that is that the listener was closed: for Serve no
// error, however early it was.
func unlessClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Stats returns what all Serve calls together have done, and hold.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sum Stats
	for _, sv := range s.servings {
		st := sv.ln.Stats()
		sum.Backend = st.Backend
		sum.Loops += st.Loops
		sum.Counts.Add(&st.Counts)
		sum.Events += st.Events
		sum.Accepted += st.Accepted
		sum.Bursts += st.Bursts
		sum.Steals += st.Steals
		sum.BytesIn += st.BytesIn
		sum.BytesOut += st.BytesOut
		sum.Open += st.Open
		sum.Dialled += st.Dialled
		sum.Idle += st.Idle
		sum.Workers += st.Workers
		sum.IdleWorkers += st.IdleWorkers
		sum.Rejected += sv.rejected.Load()
	}
	return sum
}

// forget takes a serving that has ended out of the list.
func (s *Server) forget(sv *serving) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.servings = slices.DeleteFunc(s.servings, func(o *serving) bool { return o == sv })
}
