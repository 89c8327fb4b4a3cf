//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"
	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// serveSide echoes until SIGTERM, as that side does.
func serveSide(side string, port int) error {
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch side {
	case "esca":
		ln, err := conn.ListenPacket("udp", addr)
		if err != nil {
			return err
		}
		if err := ln.Start(conn.PacketHandlerFunc(func(p *conn.Packets) {
			for p.Next() {
				p.Reply(p.Data())
			}
		})); err != nil {
			return err
		}
		<-ctx.Done()
		s := ln.Stats()
		fmt.Printf("(%.2f)\n", float64(s.Crossings)/float64(max(s.PacketsIn, 1)))
	case "net":
		for range runtime.GOMAXPROCS(0) {
			if err := echoByNet(addr); err != nil {
				return err
			}
		}
		<-ctx.Done()
	case "batch":
		for range runtime.GOMAXPROCS(0) {
			if err := echoByBatches(addr); err != nil {
				return err
			}
		}
		<-ctx.Done()
	case "gnet":
		return gnet.Run(&gnetEcho{ctx: ctx}, "udp://"+addr, gnetOptions...)
	case "gnet-esca":
		h := &gnetEcho{ctx: ctx}
		g := server.NewGnet(h)
		h.stop = func() {
			s := g.Stats()
			fmt.Printf("(%.2f)\n", float64(s.Crossings)/float64(max(s.PacketsIn, 1)))
		}
		return g.Run("udp://"+addr, gnetOptions...)
	default:
		return errors.New("the sides are esca, gnet-esca, batch, net, gnet, recvfrom and recvmmsg, not " + side)
	}
	return nil
}

// echoByNet has a goroutine with a socket of its own.
func echoByNet(addr string) error {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }), err)
	}}
	pc, err := lc.ListenPacket(context.Background(), "udp", addr)
	if err != nil {
		return err
	}
	c := pc.(*net.UDPConn)
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			c.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	return nil
}

// echoByBatches is echoByNet by a PacketConn's ReadBatch and WriteBatch.
func echoByBatches(addr string) error {
	ln, err := conn.ListenPacket("udp", addr, conn.WithSharedPort())
	if err != nil {
		return err
	}
	go func() {
		ms := make([]conn.Message, 64)
		bufs := make([][]byte, len(ms))
		for i := range ms {
			bufs[i] = make([]byte, 2048)
			ms[i].Buffers = [][]byte{bufs[i]}
		}
		for {
			n, err := ln.ReadBatch(ms, 0)
			if err != nil {
				return
			}
			for i := range ms[:n] {
				ms[i].Buffers[0] = bufs[i][:ms[i].N]
			}
			for rest := ms[:n]; len(rest) > 0; {
				sent, err := ln.WriteBatch(rest, 0)
				if err != nil {
					sent = 1 // the next is lost
				}
				rest = rest[sent:]
			}
			for i := range ms[:n] {
				ms[i].Buffers[0] = bufs[i]
			}
		}
	}()
	return nil
}

var gnetOptions = []gnet.Option{gnet.WithNumEventLoop(runtime.GOMAXPROCS(0)), gnet.WithReusePort(true), gnet.WithLogLevel(logging.ErrorLevel)}

type gnetEcho struct {
	gnet.BuiltinEventEngine
	ctx  context.Context
	stop func()
}

func (g *gnetEcho) OnBoot(e gnet.Engine) gnet.Action {
	go func() {
		<-g.ctx.Done()
		if g.stop != nil {
			g.stop()
		}
		e.Stop(context.Background())
	}()
	return gnet.None
}

func (g *gnetEcho) OnTraffic(c gnet.Conn) gnet.Action {
	b, _ := c.Next(-1)
	c.Write(b)
	return gnet.None
}
