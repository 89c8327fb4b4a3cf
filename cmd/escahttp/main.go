// Command escahttp serves static files on esca's loops.
//
//	escahttp [flags] [ROOT]
//	escahttp backends
//
// It exits with status 2 if it was called wrongly, and 1 if it could not serve.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/cmd/escahttp/internal/accesslog"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
	"github.com/escahttp/esca/cmd/escahttp/internal/welcome"
	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/server"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("escahttp: ")
	run, err := parse(os.Args[1:])
	if err == nil && run != nil {
		err = run()
	}
	if err == nil {
		return
	}
	log.Print(strings.ReplaceAll(err.Error(), "\n", "; "))
	if errors.As(err, &usageError{}) {
		os.Exit(2)
	}
	os.Exit(1)
}

func (*backendsCmd) run() error {
	for _, p := range poller.Probes() {
		fmt.Println(p)
	}
	return nil
}

func (s *serveCmd) run() error {
	handler, closeFiles, err := s.handler()
	if err != nil {
		return err
	}
	defer closeFiles()
	serve := safe(handler.Serve)
	var access *accesslog.Log
	if s.Log != "" {
		if access, err = accesslog.Open(s.Log, s.Format); err != nil {
			return err
		}
		defer func() {
			if err := access.Close(); err != nil {
				log.Print(err)
			}
		}()
		serve = access.Wrap(serve)
	}
	fs := &fasthttp.Server{
		Handler:            serve,
		Name:               "esca",
		ReadTimeout:        s.ReadTimeout,
		WriteTimeout:       s.WriteTimeout,
		IdleTimeout:        s.IdleTimeout,
		MaxConnsPerIP:      s.PerIP,
		ReadBufferSize:     16 << 10,
		MaxRequestBodySize: 64 << 10, // nobody has a reason to send any
		CloseOnShutdown:    true,
		Logger:             log.Default(),
	}
	ln, err := s.listen()
	if err != nil {
		return err
	}
	return s.serve(fs, ln, access)
}

func (s *serveCmd) handler() (*static.Handler, func() error, error) {
	if s.Root == "" {
		h, err := static.NewFS(welcome.FS(), time.Now())
		return h, func() error { return nil }, err
	}
	revalidate := s.Revalidate
	if revalidate <= 0 {
		revalidate = -1
	}
	h, err := static.New(s.Root, static.Options{CacheBytes: s.CacheMiB << 20, Revalidate: revalidate, Logf: log.Printf})
	if err != nil {
		return nil, nil, fmt.Errorf("ROOT: %w", err)
	}
	return h, h.Close, nil
}

func (s *serveCmd) listen() (net.Listener, error) {
	network, addr := "tcp", s.Addr
	if path, is := strings.CutPrefix(addr, "unix:"); is {
		network, addr = "unix", path
	}
	ln, err := conn.Listen(network, addr, conn.WithLoops(s.Loops), conn.WithBackend(s.Backend), conn.WithKeepAlive(time.Minute))
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && network == "unix" && stale(addr):
		return nil, fmt.Errorf("%s is left from a program that has ended: remove the file", s.Addr)
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use by another program: stop it, or choose another --addr", s.Addr)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s may not be listened on: ports below 1024 need the right to (CAP_NET_BIND_SERVICE), or choose another --addr", s.Addr)
	}
	return ln, err
}

// stale reports whether nobody listens on the unix socket at path.
func stale(path string) bool {
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// serve serves until a signal asks it to stop: the first lets requests finish,
// the second does not.
func (s *serveCmd) serve(fs *fasthttp.Server, ln net.Listener, access *accesslog.Log) error {
	srv := server.New(fs)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan error, 1)
	go func() {
		if s.TLSCert != "" {
			done <- srv.ServeTLS(ln, s.TLSCert, s.TLSKey)
		} else {
			done <- srv.Serve(ln)
		}
	}()
	s.announce(ln)
	stopping := false
	for {
		select {
		case err := <-done:
			return err
		case sig := <-signals:
			switch {
			case sig == syscall.SIGHUP:
				if access != nil {
					if err := access.Reopen(); err != nil {
						log.Print(err)
					}
				}
			case stopping:
				return errors.New("stopped at once: requests were cut off")
			default:
				stopping = true
				log.Print("stopping: requests that are being served may finish; once more to stop at once")
				go srv.Shutdown(context.Background())
			}
		}
	}
}

// announce says where, what and how to stop.
func (s *serveCmd) announce(ln net.Listener) {
	root := s.Root
	if root == "" {
		root = "the welcome site"
	}
	backend := "package net"
	if b, ok := ln.(interface{ Backend() string }); ok {
		backend = b.Backend()
	}
	log.Printf("serving %s on %s, %s; Ctrl-C stops", root, s.url(ln.Addr()), backend)
}

func (s *serveCmd) url(a net.Addr) string {
	scheme := "http"
	if s.TLSCert != "" {
		scheme = "https"
	}
	ta, ok := a.(*net.TCPAddr)
	if !ok {
		return scheme + " at " + s.Addr
	}
	host := ta.IP.String()
	if ta.IP.IsUnspecified() {
		host = "localhost"
	}
	return fmt.Sprintf("%s://%s/", scheme, net.JoinHostPort(host, fmt.Sprint(ta.Port)))
}

// safe keeps a bug in the handler from ending the server.
func safe(h fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		defer func() {
			if v := recover(); v != nil {
				log.Printf("panic while serving %q: %v\n%s", ctx.RequestURI(), v, debug.Stack())
				ctx.Response.Reset()
				ctx.Error("Internal Server Error", fasthttp.StatusInternalServerError)
			}
		}()
		h(ctx)
	}
}
