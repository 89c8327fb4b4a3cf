package server

import (
	"context"
	"net"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
)

// Option is one of package conn: WithLoops, WithBackend, WithDispatch and so on.
type Option = conn.Option

// Stats is what a Server's loops have done and hold.
type Stats struct {
	conn.Stats
	Rejected uint64 // connections refused over Concurrency or MaxConnsPerIP
}

// ListenAndServe serves h on addr (TCP, IPv4, as fasthttp's own) until the
// process ends or listening fails.
func ListenAndServe(addr string, h fasthttp.RequestHandler, opts ...Option) error {
	return New(&fasthttp.Server{Handler: h}, opts...).ListenAndServe(addr)
}

// New returns a Server for fs, which is not copied: its settings are read when a
// Serve begins, fs.Shutdown works as always, and its handlers see everything
// they are used to. opts apply to listeners that the Server opens, or takes
// over from package net; conn.Listen has its own.
func New(fs *fasthttp.Server, opts ...Option) *Server {
	return &Server{fs: fs, opts: opts}
}

// ListenAndServe listens on addr (TCP, IPv4) and serves. See Serve.
func (s *Server) ListenAndServe(addr string) error {
	ln, err := s.listen("tcp4", addr)
	if err != nil {
		return err
	}
	return s.Serve(ln)
}

// ListenAndServeTLS listens on addr (TCP, IPv4) and serves TLS. See ServeTLS.
func (s *Server) ListenAndServeTLS(addr, certFile, keyFile string) error {
	ln, err := s.listen("tcp4", addr)
	if err != nil {
		return err
	}
	if err := s.ServeTLS(ln, certFile, keyFile); err != nil {
		ln.Close()
		return err
	}
	return nil
}

// Shutdown stops listening, lets requests that are being served finish, closes
// idle connections, and waits for that until ctx is done. Serve returns nil when
// it is complete. It is fs.ShutdownWithContext(ctx); that does the same.
func (s *Server) Shutdown(ctx context.Context) error {
	return s.fs.ShutdownWithContext(ctx)
}

func (s *Server) listen(network, addr string) (net.Listener, error) {
	return conn.Listen(network, addr, s.opts...)
}
