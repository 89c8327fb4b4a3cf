package main

import (
	"context"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// slowness is how long the handler of /slow blocks.
const slowness = 5 * time.Millisecond

func handle(ctx *fasthttp.RequestCtx) {
	if string(ctx.Path()) == "/slow" {
		time.Sleep(slowness)
	}
	ctx.SetBodyString("Hello, World!")
}

func newFasthttpServer() *fasthttp.Server {
	return &fasthttp.Server{Handler: handle}
}

// fasthttpService is fasthttp on its own server.
type fasthttpService struct{ *fasthttp.Server }

func init() {
	runtimes["fasthttp"] = func() service { return fasthttpService{newFasthttpServer()} }
}

func (fasthttpService) Listen(cfg config) (net.Listener, error) {
	return net.Listen("tcp4", cfg.addr)
}

func (s fasthttpService) Shutdown(ctx context.Context) error {
	return s.ShutdownWithContext(ctx)
}

func (fasthttpService) Report() string { return "" }
