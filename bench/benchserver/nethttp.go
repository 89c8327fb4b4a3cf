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
	runtimes["nethttp"] = func(cfg serving.Config) (serving.Service, error) {
		return nethttpService{&http.Server{Handler: nethttpHandler(cfg.Root)}}, nil
	}
}

// nethttpHandler answers as newFasthttpServer does.
func nethttpHandler(root string) http.Handler {
	mux := http.NewServeMux()
	line := http.HandlerFunc(answerLine)
	if root == "" {
		return line
	}
	mux.Handle("/{$}", line)
	mux.Handle("/quick", line)
	mux.Handle("/slow", line)
	mux.Handle("/", http.FileServer(http.Dir(root)))
	return mux
}

func answerLine(w http.ResponseWriter, r *http.Request) {
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
	if cfg.Cert != "" {
		err = s.ServeTLS(ln, cfg.Cert, cfg.Key)
	} else {
		err = s.Server.Serve(ln)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s nethttpService) Shutdown(ctx context.Context) error { return s.Server.Shutdown(ctx) }
