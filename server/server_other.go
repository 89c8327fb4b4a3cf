//go:build !(linux && (amd64 || arm64))

package server

import (
	"context"
	"net"

	"github.com/valyala/fasthttp"
)

// Server serves a *fasthttp.Server. On this system it is fasthttp itself.
type Server struct {
	fs   *fasthttp.Server
	opts []Option
}

// Serve is fs.Serve.
func (s *Server) Serve(ln net.Listener) error { return s.fs.Serve(ln) }

// ServeTLS is fs.ServeTLS.
func (s *Server) ServeTLS(ln net.Listener, certFile, keyFile string) error {
	return s.fs.ServeTLS(ln, certFile, keyFile)
}

// CheckHeads does nothing on this system.
func (s *Server) CheckHeads(func(head []byte) error) {}

// Stats has nothing to tell on this system.
func (s *Server) Stats() Stats { return Stats{} }

func contextOf(*fasthttp.RequestCtx) context.Context { return nil }
