package http3_test

import (
	"bytes"
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// path is a network between one client and a server.
type path struct {
	net.PacketConn               // what the client sends to
	delay          time.Duration // of a packet, either way
	outage         atomic.Int64  // when one began, Unix nanoseconds; 0: there is none
}

// newPath returns a path to a server.
func newPath(t *testing.T, server string, delay time.Duration) *path {
	t.Helper()
	near, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.Dial("udp", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	p := &path{PacketConn: near, delay: delay}
	var client atomic.Pointer[net.Addr]
	go func() {
		for b := make([]byte, 2048); ; {
			n, from, err := near.ReadFrom(b)
			if err != nil {
				return
			}
			client.Store(&from)
			packet := bytes.Clone(b[:n])
			time.AfterFunc(delay, func() { far.Write(packet) })
		}
	}()
	go func() {
		for b := make([]byte, 2048); ; {
			n, err := far.Read(b)
			if err != nil {
				return
			}
			if p.isLost() {
				continue
			}
			packet := bytes.Clone(b[:n])
			time.AfterFunc(delay, func() { near.WriteTo(packet, *client.Load()) })
		}
	}()
	return p
}

// lose loses what the server sends now: a packet that comes half a delay later gets through,
// and so do those after it.
func (p *path) lose() { p.outage.Store(time.Now().UnixNano()) }

func (p *path) isLost() bool {
	began := p.outage.Load()
	if began == 0 {
		return false
	}
	if time.Since(time.Unix(0, began)) < p.delay/2 {
		return true
	}
	p.outage.Store(0)
	return false
}

// An answer that was lost is sent again before the connection is closed, be it because the
// server stops or because there was no request for a while, also on a path that takes longer
// than that.
func TestClosesAwaitWhatWasLost(t *testing.T) {
	for _, stops := range []bool{true, false} {
		t.Run(map[bool]string{true: "shutdown", false: "idle"}[stops], func(t *testing.T) {
			t.Parallel()
			began, lose := make(chan bool), make(chan func(), 1)
			fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
				if string(ctx.Path()) != "/last" {
					return
				}
				began <- true
				if stops {
					<-ctx.Done()
				}
				ctx.SetBody(pattern(1000))
				(<-lose)()
			}}
			if !stops {
				fs.IdleTimeout = time.Millisecond
			}
			r := start(t, fs)
			p := newPath(t, r.addr, 300*time.Millisecond)
			lose <- p.lose
			c, url := client(t), "https://"+p.LocalAddr().String()
			get(t, c, url) // by now the server knows how long the path is
			got := asked(c, url+"/last")
			within(t, "it is asked", began)
			down := make(chan error, 1)
			if stops {
				go func() { down <- r.Shutdown(context.Background()) }()
			} else {
				down <- nil
			}
			if a := within(t, "the answer", got); a.err != nil || !bytes.Equal(a.b, pattern(1000)) {
				t.Errorf("%d bytes, %v", len(a.b), a.err)
			}
			if err := within(t, "Shutdown returns", down); err != nil {
				t.Error(err)
			}
		})
	}
}
