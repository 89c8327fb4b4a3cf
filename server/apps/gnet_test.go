//go:build linux && (amd64 || arm64)

package apps_test

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/poller/faulty"
	"github.com/escahttp/esca/server"
)

// wsApp is a websocket server after gnet's own example: an upgrade, then frames,
// each taken when it is whole.
type wsApp struct {
	gnet.BuiltinEventEngine
	booted chan gnet.Engine
	closed chan error
}

func (a *wsApp) OnBoot(e gnet.Engine) gnet.Action {
	a.booted <- e
	return gnet.None
}

func (a *wsApp) OnClose(_ gnet.Conn, err error) gnet.Action {
	a.closed <- err
	return gnet.None
}

func (a *wsApp) OnTraffic(c gnet.Conn) gnet.Action {
	if upgraded, _ := c.Context().(bool); !upgraded {
		b, _ := c.Peek(-1)
		if !bytes.Contains(b, []byte("\r\n\r\n")) {
			return gnet.None
		}
		if _, err := ws.Upgrade(c); err != nil {
			return gnet.Close
		}
		c.SetContext(true)
	}
	for {
		b, _ := c.Peek(-1)
		src := bytes.NewReader(b)
		f, err := ws.ReadFrame(src)
		if err != nil { // it is not whole yet
			return gnet.None
		}
		c.Discard(len(b) - src.Len())
		f = ws.UnmaskFrame(f)
		switch f.Header.OpCode {
		case ws.OpClose:
			ws.WriteFrame(c, ws.NewCloseFrame(f.Payload))
			return gnet.Close
		default:
			if err := wsutil.WriteServerMessage(c, f.Header.OpCode, f.Payload); err != nil {
				return gnet.Close
			}
		}
	}
}

func TestGnetWebsocket(t *testing.T) {
	onEsca := func(opts ...conn.Option) func(gnet.EventHandler, string, ...gnet.Option) error {
		return func(h gnet.EventHandler, addr string, o ...gnet.Option) error {
			return server.NewGnet(h, opts...).Run(addr, o...)
		}
	}
	rates := faulty.DefaultRates()
	rates.Reset = 0 // what every application sees is to be the same
	runs := map[string]func(gnet.EventHandler, string, ...gnet.Option) error{
		"gnet":                gnet.Run,
		"esca, on goroutines": onEsca(conn.WithDispatch(conn.DispatchGoroutine)),
		"esca, faulty":        onEsca(conn.WithFactory(faulty.New(1, poller.Direct, faulty.WithRates(rates)))),
	}
	for _, p := range poller.Probes() {
		if p.Status == poller.Available {
			runs["esca, "+p.Name] = onEsca(conn.WithBackend(p.Name))
		}
	}
	for name, run := range runs {
		t.Run(name, func(t *testing.T) {
			a := &wsApp{booted: make(chan gnet.Engine, 1), closed: make(chan error, 1)}
			websocketOn(t, a, func(addr string) error {
				return run(a, addr, gnet.WithLogger(logging.GetDefaultLogger()), gnet.WithLogLevel(logging.FatalLevel))
			})
		})
	}
}

// websocketOn talks to a while it runs, and sees it end.
func websocketOn(t *testing.T, a *wsApp, run func(addr string) error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close() // gnet takes no listener, and says no port that the kernel has chosen
	ended := make(chan error, 1)
	go func() { ended <- run("tcp://" + addr) }()
	var eng gnet.Engine
	select {
	case eng = <-a.booted:
	case err := <-ended:
		t.Fatal("it does not run:", err)
	}
	defer func() {
		eng.Stop(t.Context())
		if err := <-ended; err != nil {
			t.Error("Run:", err)
		}
	}()
	dialer := ws.Dialer{Timeout: patience}
	c, br, _, err := dialer.Dial(t.Context(), "ws://"+addr+"/")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if br != nil {
		t.Fatal("the server has spoken first")
	}
	c.SetDeadline(time.Now().Add(patience))
	for _, n := range []int{1, 125, 126, 65_535, 65_536, 200_000} {
		want := bytes.Repeat([]byte{byte(n)}, n)
		if err := wsutil.WriteClientBinary(c, want); err != nil {
			t.Fatal(err)
		}
		got, err := wsutil.ReadServerBinary(c)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes of %d, %v", len(got), n, err)
		}
	}
	if err := wsutil.WriteClientMessage(c, ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, "bye")); err != nil {
		t.Fatal(err)
	}
	var closed wsutil.ClosedError
	if _, err := wsutil.ReadServerBinary(c); !errors.As(err, &closed) || closed.Code != ws.StatusNormalClosure {
		t.Fatalf("%v, want a normal closure", err)
	}
	if err := <-a.closed; err != nil {
		t.Errorf("OnClose was told %v", err)
	}
}
