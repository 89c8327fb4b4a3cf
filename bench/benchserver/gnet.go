//go:build linux

package main

import (
	"bytes"
	"context"

	"github.com/panjf2000/gnet/v2"

	"github.com/escahttp/esca/bench/internal/serving"
)

// gnetAnswer has the headers and the length of the other runtimes' answer.
const gnetAnswer = "HTTP/1.1 200 OK\r\n" +
	"Server: gnet\r\n" +
	"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\n" +
	"Content-Length: 13\r\n" +
	"\r\n" +
	"Hello, World!"

// gnetService answers every empty line with a constant: no HTTP is parsed.
type gnetService struct {
	gnet.BuiltinEventEngine
	engine gnet.Engine
	ready  func()
	booted chan struct{}
}

func init() {
	runtimes["gnet"] = func(serving.Config) (serving.Service, error) {
		return &gnetService{booted: make(chan struct{})}, nil
	}
}

func (s *gnetService) Serve(cfg serving.Config, ready func(string)) error {
	network, addr := cfg.Network()
	s.ready = func() { ready(addr) }
	return gnet.Run(s, network+"://"+addr, gnet.WithMulticore(true), silent())
}

func (s *gnetService) OnBoot(engine gnet.Engine) gnet.Action {
	s.engine = engine
	close(s.booted)
	s.ready()
	return gnet.None
}

func (s *gnetService) OnTraffic(c gnet.Conn) gnet.Action {
	buf, err := c.Peek(-1)
	if err != nil {
		return gnet.Close
	}
	var answers []byte
	used := 0
	for {
		i := bytes.Index(buf[used:], []byte("\r\n\r\n"))
		if i < 0 {
			break
		}
		used += i + 4
		answers = append(answers, gnetAnswer...)
	}
	if used == 0 {
		return gnet.None
	}
	if _, err := c.Discard(used); err != nil {
		return gnet.Close
	}
	if _, err := c.Write(answers); err != nil {
		return gnet.Close
	}
	return gnet.None
}

func (s *gnetService) Shutdown(ctx context.Context) error {
	select {
	case <-s.booted:
		return s.engine.Stop(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}
