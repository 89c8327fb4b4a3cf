//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/escahttp/esca/bench/internal/serving"
)

// nethttpService is the same handlers on the standard library.
type nethttpService struct{ *http.Server }

func init() {
	runtimes["nethttp"] = func(serving.Config) (serving.Service, error) {
		return nethttpService{&http.Server{Handler: http.HandlerFunc(handleNetHTTP)}}, nil
	}
}

func handleNetHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/slow" {
		time.Sleep(slowness)
	}
	w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
	io.WriteString(w, "Hello, World!")
}

func (s nethttpService) Serve(cfg serving.Config, ready func(string)) error {
	ln, err := cfg.Listen()
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
