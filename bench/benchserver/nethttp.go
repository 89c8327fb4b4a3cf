package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// nethttpService is the same handlers on the standard library.
type nethttpService struct{ *http.Server }

func init() {
	runtimes["nethttp"] = func(string) service {
		return nethttpService{&http.Server{Handler: http.HandlerFunc(handleNetHTTP)}}
	}
}

func handleNetHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/slow" {
		time.Sleep(slowness)
	}
	w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
	io.WriteString(w, "Hello, World!")
}

func (s nethttpService) Serve(cfg config, ready func(string)) error {
	ln, err := cfg.listen()
	if err != nil {
		return err
	}
	ready(ln.Addr().String())
	if err := s.Server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s nethttpService) Shutdown(ctx context.Context) error { return s.Server.Shutdown(ctx) }
