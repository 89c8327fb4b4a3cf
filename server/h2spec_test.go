package server_test

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"
	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// All of h2spec, in the clear and over TLS.
func TestH2Spec(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute of waiting for what must not come")
	}
	srv, _ := serverTLS(t)
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "clear", true: "TLS"}[secure], func(t *testing.T) {
			fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("hello") }, MaxRequestBodySize: 1 << 20}
			if secure {
				fs.TLSConfig = srv.Clone()
			}
			r := h2Stack.start(t, fs)
			host, port, _ := net.SplitHostPort(r.addr)
			c := &config.Config{Host: host, Path: "/", Timeout: generous / 10, MaxHeaderLen: 4000, Strict: true, TLS: secure, Insecure: true}
			c.Port, _ = strconv.Atoi(port)
			passed := 0
			for _, g := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
				g.Test(c)
				passed += specResults(t, g)
			}
			if passed < 140 {
				t.Errorf("%d of h2spec's tests have passed, and there are more", passed)
			}
			t.Logf("%d of h2spec's tests have passed", passed)
		})
	}
}

func specResults(t *testing.T, g *spec.TestGroup) (passed int) {
	for _, tc := range g.Tests {
		switch {
		case tc.Result == nil:
			t.Errorf("%s: %s: has not run", g.Title(), tc.Desc)
		case tc.Result.Failed:
			t.Errorf("%s: %s: %v", g.Title(), tc.Desc, tc.Result.Error)
		case tc.Result.Skipped:
			t.Logf("%s: %s: skipped by h2spec", g.Title(), tc.Desc)
		default:
			passed++
		}
	}
	for _, sub := range g.Groups {
		passed += specResults(t, sub)
	}
	return passed
}

// h2Stack serves with HTTP/2, over TLS and in the clear.
var h2Stack = stack{"h2", func(network, addr string) (net.Listener, error) { return conn.Listen(network, addr) }, func(fs *fasthttp.Server) served {
	return server.New(fs, server.WithH2C(true))
}}

var _ = time.Second
