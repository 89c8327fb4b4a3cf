//go:build linux && (amd64 || arm64)

package conn_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
)

func listenPacket(t *testing.T, network, addr string) *conn.PacketListener {
	t.Helper()
	if network == "unixgram" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	ln, err := conn.ListenPacket(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	ln.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { ln.Close() })
	return ln
}

var packetNetworks = []struct{ network, addr string }{{"udp", "127.0.0.1:0"}, {"udp4", "127.0.0.1:0"}, {"udp6", "[::1]:0"}, {"unixgram", ""}}

// What net.PacketConn promises, on each network.
func TestPacketConn(t *testing.T) {
	for _, at := range packetNetworks {
		t.Run(at.network, func(t *testing.T) {
			a, b := listenPacket(t, at.network, at.addr), listenPacket(t, at.network, at.addr)
			buf := make([]byte, 100)
			for _, n := range []int{0, 1, 100, 1000} {
				data := bytes.Repeat([]byte("x"), n)
				if m, err := a.WriteTo(data, b.LocalAddr()); m != n || err != nil {
					t.Fatalf("WriteTo = %d, %v", m, err)
				}
				m, from, err := b.ReadFrom(buf)
				if m != min(n, 100) || err != nil || from.String() != a.LocalAddr().String() {
					t.Errorf("ReadFrom = %d, %v, %v", m, from, err)
				}
			}
			if _, err := a.WriteTo(make([]byte, 1<<20), b.LocalAddr()); !errors.Is(err, unix.EMSGSIZE) {
				t.Errorf("too long: %v", err)
			}
			if _, err := a.WriteTo(nil, &net.TCPAddr{}); err == nil {
				t.Error("written to an address of TCP")
			}

			b.SetReadDeadline(time.Unix(1, 0))
			var ne net.Error
			if _, _, err := b.ReadFrom(buf); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
				t.Errorf("late: %v", err)
			}
			b.SetReadDeadline(time.Time{})
			ended := make(chan error)
			go func() {
				_, _, err := b.ReadFrom(buf)
				ended <- err
			}()
			b.SetReadDeadline(time.Now().Add(time.Millisecond))
			if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("late while it waits: %v", err)
			}
			b.SetReadDeadline(time.Time{})
			go func() {
				_, _, err := b.ReadFrom(buf)
				ended <- err
			}()
			b.Close()
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("closed while it waits: %v", err)
			}
			if _, err := b.WriteTo(nil, a.LocalAddr()); !errors.Is(err, net.ErrClosed) {
				t.Errorf("written to when closed: %v", err)
			}
		})
	}
}

func TestPacketConnBatch(t *testing.T) {
	if !ordered(t) {
		return
	}
	for _, at := range packetNetworks {
		t.Run(at.network, func(t *testing.T) {
			a, b := listenPacket(t, at.network, at.addr), listenPacket(t, at.network, at.addr)
			const n = 8
			out := make([]conn.Message, n)
			for i := range out {
				out[i] = conn.Message{Buffers: [][]byte{[]byte("datagram "), fmt.Append(nil, i)}, Addr: b.LocalAddr()}
			}
			for sent := 0; sent < n; {
				m, err := a.WriteBatch(out[sent:], 0)
				if err != nil {
					t.Fatal(err)
				}
				sent += m
			}
			for got := 0; got < n; {
				in := make([]conn.Message, 100)
				for i := range in {
					in[i].Buffers = [][]byte{make([]byte, 4), make([]byte, 10)}
				}
				m, err := b.ReadBatch(in, 0)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range in[:m] {
					if s := string(append(m.Buffers[0], m.Buffers[1][:m.N-4]...)); s != fmt.Sprint("datagram ", got) {
						t.Errorf("%d: %q", got, s)
					}
					if m.Addr.String() != a.LocalAddr().String() || out[got].N != m.N {
						t.Errorf("from %v, sent %d", m.Addr, out[got].N)
					}
					got++
				}
			}
			a.WriteTo(make([]byte, 100), b.LocalAddr())
			in := []conn.Message{{Buffers: [][]byte{make([]byte, 10)}}}
			if m, err := b.ReadBatch(in, 0); m != 1 || err != nil || in[0].N != 10 || in[0].Flags&unix.MSG_TRUNC == 0 {
				t.Errorf("%d, %v, %+v, want a truncated one", m, err, in[0])
			}
			b.SetReadDeadline(time.Unix(1, 0))
			if _, err := b.ReadBatch(in, 0); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("late: %v", err)
			}
			out[0].Addr = &net.TCPAddr{}
			if _, err := a.WriteBatch(out, 0); err == nil {
				t.Error("written to an address of TCP")
			}
			out[0].Addr, out[1].Addr = b.LocalAddr(), nil
			if m, err := a.WriteBatch(out[:1], 0); m != 1 || err != nil {
				t.Errorf("%d, %v", m, err)
			}
			if m, err := a.WriteBatch(nil, 0); m != 0 || err != nil {
				t.Errorf("%d, %v", m, err)
			}
			a.Close()
			if _, err := a.WriteBatch(out, 0); !errors.Is(err, net.ErrClosed) {
				t.Errorf("closed: %v", err)
			}
		})
	}
}

// A connected socket hears from its peer only, and that there is none.
func TestDialPacket(t *testing.T) {
	for _, at := range packetNetworks {
		if at.network == "unixgram" {
			continue // a peer without a name cannot be answered
		}
		t.Run(at.network, func(t *testing.T) {
			ln := servePackets(t, at.network, at.addr, echoPackets)
			nc, err := conn.Dial(at.network, ln.LocalAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			nc.(*conn.PacketConn).Close()
			c, err := conn.DialPacket(at.network, ln.LocalAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			stranger := listenPacket(t, at.network, at.addr)
			stranger.WriteTo([]byte("not for you"), c.LocalAddr())
			asks(t, c, []byte("hello"))
			if c.RemoteAddr().String() != ln.LocalAddr().String() {
				t.Error(c.RemoteAddr())
			}
			if _, err := c.WriteTo(nil, ln.LocalAddr()); !errors.Is(err, net.ErrWriteToConnected) {
				t.Errorf("WriteTo: %v", err)
			}
			ln.Close()
			ln.Wait()
			if _, err = c.Write([]byte("x")); err == nil {
				_, err = c.Read(make([]byte, 8))
			}
			if !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("nobody is there: %v", err)
			}
			c.Write([]byte("x"))
			in := []conn.Message{{Buffers: [][]byte{make([]byte, 10)}}}
			if _, err := c.ReadBatch(in, 0); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("ReadBatch: %v", err)
			}
		})
	}
}

// The addresses of a scope, as package net has them.
func TestPacketScopes(t *testing.T) {
	if os.Getenv("ESCA_TEST_NAMESPACE") != "" {
		inNamespace(t)
	}
	ifis, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, ifi := range ifis {
		addrs, _ := ifi.Addrs()
		for _, a := range addrs {
			ip, ok := a.(*net.IPNet)
			if !ok || !ip.IP.IsLinkLocalUnicast() || ip.IP.To4() != nil {
				continue
			}
			at := net.JoinHostPort(ip.IP.String()+"%"+ifi.Name, "0")
			peer := make(chan string, 1)
			ln := servePackets(t, "udp6", at, conn.PacketHandlerFunc(func(p *conn.Packets) {
				for p.Next() {
					peer <- fmt.Sprint(p.Peer(), p.PeerAddr())
					p.Send(p.Data(), p.Peer(), nil)
				}
			}), conn.WithLoops(1))
			c := dialPackets(t, ln.LocalAddr())
			asks(t, c, []byte("x"))
			if got, want := <-peer, fmt.Sprint(c.LocalAddr(), c.LocalAddr()); got != want {
				t.Errorf("peer %s, want %s", got, want)
			}
			return
		}
	}
	t.Skip("no interface has a link-local address; TestPacketsInANamespace has one")
}

func TestPacketConnNotUDP(t *testing.T) {
	u := listenPacket(t, "unixgram", "")
	if _, _, err := u.ReadFromUDPAddrPort(nil); err == nil {
		t.Error("read from a unix socket as from UDP")
	}
	if _, _, err := u.WriteMsgUDP(nil, nil, nil); err == nil {
		t.Error("written to a unix socket as to UDP")
	}
}
