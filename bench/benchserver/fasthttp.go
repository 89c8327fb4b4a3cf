package main

import (
	"context"
	"time"

	"github.com/valyala/fasthttp"
)

// slowness is how long the handler of /slow blocks.
const slowness = 5 * time.Millisecond

// newFasthttpServer answers /, /quick and /slow with a line, and everything
// else with the file of that name.
func newFasthttpServer(root string) *fasthttp.Server {
	files := (&fasthttp.FS{Root: root, AllowEmptyRoot: true, AcceptByteRange: true}).NewRequestHandler()
	return &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		switch string(ctx.Path()) {
		case "/slow":
			time.Sleep(slowness)
		case "/", "/quick":
		default:
			if root != "" {
				files(ctx)
				return
			}
		}
		ctx.SetBodyString("Hello, World!")
	}}
}

// fasthttpService is fasthttp on its own server.
type fasthttpService struct{ *fasthttp.Server }

func init() {
	runtimes["fasthttp"] = func(root string) service { return fasthttpService{newFasthttpServer(root)} }
}

func (s fasthttpService) Serve(cfg config, ready func(string)) error {
	ln, err := cfg.listen()
	if err != nil {
		return err
	}
	ready(ln.Addr().String())
	return s.Server.Serve(ln)
}

func (s fasthttpService) Shutdown(ctx context.Context) error {
	return s.ShutdownWithContext(ctx)
}
