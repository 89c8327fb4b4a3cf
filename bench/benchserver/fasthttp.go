//go:build linux

package main

import (
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/bench/internal/serving"
)

// slowness is how long the handler of /slow blocks.
const slowness = 5 * time.Millisecond

func init() {
	runtimes["fasthttp"] = func(cfg serving.Config) (serving.Service, error) {
		return serving.Fasthttp(newFasthttpServer(cfg)), nil
	}
	runtimes["esca"] = func(cfg serving.Config) (serving.Service, error) {
		return serving.Esca(newFasthttpServer(cfg)), nil
	}
}

// newFasthttpServer answers with a line where nothing else is said, and with the
// file of that name, if there is a root, on every path that is none of its own.
func newFasthttpServer(cfg serving.Config) *fasthttp.Server {
	files := (&fasthttp.FS{Root: cfg.Root, AllowEmptyRoot: true, AcceptByteRange: true}).NewRequestHandler()
	asked, late, inside := newPool(cfg.Upstream), new(lateness), new(clients)
	return &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		switch string(ctx.Path()) {
		case "/slow":
			time.Sleep(slowness)
		case "/upstream":
			if err := asked.roundTrip(); err != nil {
				ctx.Error(err.Error(), fasthttp.StatusBadGateway)
				return
			}
		case "/spawn":
			done := make(chan struct{})
			go close(done)
			<-done
		case "/late":
			late.spawn()
		case "/late/taken":
			late.take(ctx)
			return
		case "/clients/start":
			inside.start(ctx)
			return
		case "/clients/stop":
			inside.stop(ctx)
			return
		case "/", "/quick":
		default:
			if cfg.Root != "" {
				files(ctx)
				return
			}
		}
		ctx.SetBodyString(helloBody)
	}}
}

const helloBody = "Hello, World!"
