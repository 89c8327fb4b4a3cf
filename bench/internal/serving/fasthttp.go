//go:build linux

package serving

import (
	"context"

	"github.com/valyala/fasthttp"
)

// Fasthttp is fs as it serves itself.
func Fasthttp(fs *fasthttp.Server) Service { return fasthttpService{fs} }

type fasthttpService struct{ *fasthttp.Server }

func (s fasthttpService) Serve(cfg Config, ready func(string)) error {
	ln, err := cfg.Listen()
	if err != nil {
		return err
	}
	if cfg.SlowFile != "" {
		ln = slowListener{ln, cfg.SlowFile}
	}
	ready(ln.Addr().String())
	if cfg.Cert != "" {
		return s.ServeTLS(ln, cfg.Cert, cfg.Key)
	}
	return s.Server.Serve(ln)
}

func (s fasthttpService) Shutdown(ctx context.Context) error { return s.ShutdownWithContext(ctx) }
