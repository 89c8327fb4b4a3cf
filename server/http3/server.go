package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"

	"github.com/quic-go/quic-go/http3"
	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
)

// Server serves a *fasthttp.Server over HTTP/3. Its methods may be called from any
// goroutine.
type Server struct {
	fs   *fasthttp.Server
	opts []conn.Option

	mu       sync.Mutex
	servings map[*serving]struct{}
}

// New returns a Server for fs, which is not copied: its settings are read when a Serve
// begins, and fs.Shutdown stops it with all else that serves fs. opts are for sockets that
// the Server opens, and WithStallTimeout.
func New(fs *fasthttp.Server, opts ...conn.Option) *Server {
	return &Server{fs: fs, opts: opts, servings: make(map[*serving]struct{})}
}

// ListenAndServeTLS serves h on addr (UDP, IPv4 and IPv6) until the process ends or
// listening fails.
func ListenAndServeTLS(addr, certFile, keyFile string, h fasthttp.RequestHandler, opts ...conn.Option) error {
	return New(&fasthttp.Server{Handler: h}, opts...).ListenAndServeTLS(addr, certFile, keyFile)
}

// ListenAndServeTLS listens on addr (UDP, IPv4 and IPv6) and serves, with fs.TLSConfig and
// the certificate in the files named; both names may be empty if the configuration has one.
// See Serve.
func (s *Server) ListenAndServeTLS(addr, certFile, keyFile string) error {
	cfg := s.fs.TLSConfig.Clone()
	if certFile != "" || keyFile != "" {
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return err
		}
		if cfg == nil {
			cfg = new(tls.Config)
		}
		cfg.Certificates = append(cfg.Certificates, cert)
	}
	if err := checkTLS(cfg); err != nil {
		return err
	}
	pc, err := conn.ListenPacket("udp", addr, s.opts...)
	if err != nil {
		return err
	}
	return s.serve(pc, cfg)
}

// Serve serves what comes to pc, with fs.TLSConfig, until pc is closed or the server is
// shut down, and returns nil then, with pc closed. pc comes from conn.ListenPacket; any
// other will do, such as a *net.UDPConn. While it is served nobody else may read from it.
func (s *Server) Serve(pc net.PacketConn) error {
	cfg := s.fs.TLSConfig.Clone()
	if err := checkTLS(cfg); err != nil {
		return err
	}
	return s.serve(pc, cfg)
}

func (s *Server) serve(pc net.PacketConn, cfg *tls.Config) error {
	sv, err := newServing(s, pc, http3.ConfigureTLSConfig(cfg))
	if err != nil {
		pc.Close()
		return unlessClosed(err)
	}
	s.mu.Lock()
	s.servings[sv] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.servings, sv)
		s.mu.Unlock()
	}()
	return unlessClosed(sv.run())
}

// unlessClosed is err, or nil if that is that the socket was closed: for Serve no error.
func unlessClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// checkTLS returns an error if no client could be talked to with cfg.
func checkTLS(cfg *tls.Config) error {
	switch {
	case cfg == nil || len(cfg.Certificates) == 0 && cfg.GetCertificate == nil && cfg.GetConfigForClient == nil:
		return errors.New("esca: HTTP/3 needs a certificate: set the fasthttp.Server's TLSConfig, or name the files to ListenAndServeTLS")
	case cfg.MaxVersion != 0 && cfg.MaxVersion < tls.VersionTLS13:
		return errors.New("esca: HTTP/3 needs TLS 1.3: leave MaxVersion of the TLSConfig at zero")
	}
	return nil
}

// Shutdown tells clients to send no more requests here (GOAWAY), lets those that are being
// served finish, closes the connections, and waits for that until ctx is done. Serve returns
// nil when it is complete. It is fs.ShutdownWithContext(ctx); that does the same.
func (s *Server) Shutdown(ctx context.Context) error {
	return s.fs.ShutdownWithContext(ctx)
}

// Close closes all connections at once, and tells their clients. Serve returns then.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sv := range s.servings {
		sv.close()
	}
	return nil
}

// Stats is what a Server has done and holds.
type Stats struct {
	Connections int    // open
	Accepted    uint64 // connections, so far
	Rejected    uint64 // of them over Concurrency or MaxConnsPerIP
	Requests    uint64 // so far
}

// Stats returns what all present Serve calls together have done, and hold.
func (s *Server) Stats() (sum Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sv := range s.servings {
		sv.peers.mu.Lock()
		sum.Connections += len(sv.peers.open)
		sv.peers.mu.Unlock()
		sum.Accepted += sv.peers.accepted.Load()
		sum.Rejected += sv.peers.rejected.Load()
		sum.Requests += sv.peers.requests.Load()
	}
	return sum
}
