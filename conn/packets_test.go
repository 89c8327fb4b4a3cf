//go:build linux && (amd64 || arm64)

package conn_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/poller/pollertest"
)

// echoPackets answers each datagram with itself.
var echoPackets = conn.PacketHandlerFunc(func(p *conn.Packets) {
	for p.Next() {
		p.Reply(p.Data())
	}
})

// servePackets listens and serves until the test is over.
func servePackets(t *testing.T, network, addr string, h conn.PacketHandler, opts ...conn.Option) *conn.PacketListener {
	t.Helper()
	ln, err := conn.ListenPacket(network, addr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Start(h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ln.Close()
		ln.Wait()
	})
	return ln
}

// dialPackets connects a socket of package net.
func dialPackets(t *testing.T, to net.Addr) net.Conn {
	t.Helper()
	d := net.Dialer{}
	if to.Network() == "unixgram" {
		d.LocalAddr = &net.UnixAddr{Net: "unixgram", Name: filepath.Join(t.TempDir(), "c")}
	}
	c, err := d.Dial(to.Network(), to.String())
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c
}

// asks sends and expects the same back.
func asks(t *testing.T, c net.Conn, data []byte) {
	t.Helper()
	if _, err := c.Write(data); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1<<16)
	n, err := c.Read(got)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[:n], data) {
		t.Fatalf("%d bytes came back, want %d, and the same", n, len(data))
	}
}

func TestPacketsEcho(t *testing.T) {
	for _, backend := range []string{"direct", "uring", "kmod"} {
		for _, at := range []struct{ network, addr string }{
			{"udp", "127.0.0.1:0"}, {"udp4", "127.0.0.1:0"}, {"udp6", "[::1]:0"}, {"udp", ":0"}, {"unixgram", ""},
		} {
			t.Run(backend+" "+at.network+" "+at.addr, func(t *testing.T) {
				if at.network == "unixgram" {
					at.addr = filepath.Join(t.TempDir(), "s")
				}
				requireBackend(t, backend)
				pollertest.NoLeaks(t)
				ln := servePackets(t, at.network, at.addr, echoPackets, conn.WithLoops(2), conn.WithBackend(backend))
				to := ln.LocalAddr()
				if a, ok := to.(*net.UDPAddr); ok && a.IP.IsUnspecified() {
					to = &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: a.Port}
				}
				var wg sync.WaitGroup
				var large sync.Mutex // a socket has no room for eight of them
				for i := range 8 {
					c := dialPackets(t, to)
					wg.Go(func() {
						for j := range 50 {
							asks(t, c, bytes.Repeat([]byte{byte(i), byte(j)}, 1+j*16))
						}
						asks(t, c, nil)
						if at.network != "unixgram" {
							large.Lock()
							defer large.Unlock()
							asks(t, c, make([]byte, 65507))
						}
					})
				}
				wg.Wait()
				waitUntil(t, "all are counted", func() bool { // the last may be under way
					s := ln.Stats()
					return s.PacketsIn >= 400 && s.PacketsOut == s.PacketsIn && s.PacketsDropped == 0
				})
			})
		}
	}
}

func requireBackend(t *testing.T, name string) {
	t.Helper()
	for _, p := range poller.Probes() {
		switch {
		case p.Name != name || p.Status == poller.Available:
		case strings.Contains(","+os.Getenv("ESCA_REQUIRE")+",", ","+name+","):
			t.Fatal(p)
		default:
			t.Skip(p)
		}
	}
}

// A burst of one peer is received and answered as few messages, cut where they were.
func TestPacketsOfOnePeerKeepTheirOrderAndSizes(t *testing.T) {
	if !ordered(t) {
		return
	}
	sizes := []int{100, 100, 100, 37, 100, 1200, 1200, 1200, 1, 1, 1, 1, 2, 0, 5, 5, 3000, 3000, 10}
	ln := servePackets(t, "udp", "127.0.0.1:0", echoPackets, conn.WithLoops(1), conn.WithSteals(false))
	c := dialPackets(t, ln.LocalAddr())
	for round := range 20 {
		for i, n := range sizes {
			if _, err := c.Write(bytes.Repeat([]byte{byte(round + i)}, n)); err != nil {
				t.Fatal(err)
			}
		}
		for i, n := range sizes {
			got := make([]byte, 1<<16)
			m, err := c.Read(got)
			if err != nil {
				t.Fatal(err)
			}
			if want := bytes.Repeat([]byte{byte(round + i)}, n); !bytes.Equal(got[:m], want) {
				t.Fatalf("%d: %d bytes, want %d of %d", i, m, n, byte(round+i))
			}
		}
	}
}

// What a peer sends in one call, cut by UDP_SEGMENT with an odd tail, comes as the
// datagrams that it is.
func TestPacketsOfUDPSegment(t *testing.T) {
	if !ordered(t) {
		return
	}
	ln := servePackets(t, "udp", "127.0.0.1:0", echoPackets, conn.WithLoops(1))
	c := dialPackets(t, ln.LocalAddr()).(*net.UDPConn)
	rc, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, 400) })
	if err != nil {
		t.Skipf("this kernel has no UDP_SEGMENT: %v", err)
	}
	for _, n := range []int{399, 400, 401, 1600, 3999, 25600} {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i / 400)
		}
		if _, err := c.Write(data); err != nil {
			t.Fatal(err)
		}
		for len(data) > 0 {
			got := make([]byte, 1<<16)
			m, err := c.Read(got)
			if want := data[:min(400, len(data))]; err != nil || !bytes.Equal(got[:m], want) {
				t.Fatalf("of %d: %d bytes (%v), want %d", n, m, err, len(want))
			}
			data = data[m:]
		}
	}
}

// Any goroutine may send while a listener is served.
func TestPacketsSentAside(t *testing.T) {
	ln := servePackets(t, "udp", "127.0.0.1:0", echoPackets, conn.WithLoops(2))
	c := dialPackets(t, ln.LocalAddr())
	to := c.LocalAddr().(*net.UDPAddr)
	for i := range 200 {
		data := []byte(fmt.Sprint(i))
		var err error
		if i%2 == 0 {
			_, err = ln.WriteTo(data, to)
		} else {
			_, err = ln.WriteToUDPAddrPort(data, to.AddrPort())
		}
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 64)
		if n, err := c.Read(got); err != nil || string(got[:n]) != string(data) {
			t.Fatalf("%q, %v, want %q", got[:n], err, data)
		}
	}
	for _, bad := range []struct {
		to   net.Addr
		data []byte
		want error
	}{
		{to, make([]byte, 1<<17), unix.EMSGSIZE},
		{&net.UnixAddr{Name: "x", Net: "unixgram"}, nil, nil},
		{&net.UDPAddr{IP: net.IPv6loopback, Port: 1}, nil, nil},
		{nil, nil, nil},
	} {
		if _, err := ln.WriteTo(bad.data, bad.to); err == nil || bad.want != nil && !errors.Is(err, bad.want) {
			t.Errorf("to %v: %v", bad.to, err)
		}
	}
}

// Send goes to whom it is told, and Peer says who has asked.
func TestPacketsSend(t *testing.T) {
	var other netip.AddrPort
	ln := servePackets(t, "udp", "127.0.0.1:0", conn.PacketHandlerFunc(func(p *conn.Packets) {
		for p.Next() {
			p.Send(fmt.Appendf(nil, "%v %v", p.Peer(), p.PeerAddr()), other, nil)
			if p.Send(nil, netip.MustParseAddrPort("[::1]:9"), nil) || p.Send(nil, netip.AddrPort{}, nil) {
				t.Error("a datagram is sent to nobody")
			}
			if p.Send(nil, other, make([]byte, 1000)) || p.Reply(make([]byte, 1<<16)) {
				t.Error("more is sent than a datagram holds")
			}
			if p.Truncated() || p.Addr().String() == "" {
				t.Error("truncated, or without an address")
			}
		}
	}), conn.WithLoops(1))
	a, b := dialPackets(t, ln.LocalAddr()), dialPackets(t, ln.LocalAddr())
	other = b.LocalAddr().(*net.UDPAddr).AddrPort()
	if _, err := a.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100)
	n, err := b.Read(got)
	if want := fmt.Sprintf("%v %v", a.LocalAddr(), a.LocalAddr()); err != nil || string(got[:n]) != want {
		t.Errorf("%q, %v, want %q", got[:n], err, want)
	}
}

// Control messages come with the datagrams, and go with what is sent.
func TestPacketsControl(t *testing.T) {
	seen := make(chan byte, 1)
	ln, err := conn.ListenPacket("udp4", "127.0.0.1:0", conn.WithLoops(1))
	if err != nil {
		t.Fatal(err)
	}
	rc, err := ln.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVTOS, 1) })
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Start(conn.PacketHandlerFunc(func(p *conn.Packets) {
		for p.Next() {
			msgs, err := unix.ParseSocketControlMessage(p.Control())
			if err != nil {
				t.Error(err)
			}
			for _, m := range msgs {
				if m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_TOS {
					seen <- m.Data[0]
				}
			}
		}
	})); err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := dialPackets(t, ln.LocalAddr()).(*net.UDPConn)
	raw, _ := c.SyscallConn()
	raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, 0x2a) })
	c.Write([]byte("x"))
	select {
	case tos := <-seen:
		if tos != 0x2a {
			t.Errorf("TOS %#x", tos)
		}
	case <-time.After(patience):
		t.Error("no TOS")
	}
}

func waitUntil(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v until %s", patience, what)
		}
	}
}

func TestPacketListenerUse(t *testing.T) {
	for _, network := range []string{"tcp", "unix", "ip", ""} {
		if _, err := conn.ListenPacket(network, "127.0.0.1:0"); err == nil {
			t.Errorf("%q is listened on", network)
		}
		if _, err := conn.DialPacket(network, "127.0.0.1:1"); err == nil {
			t.Errorf("%q is dialled", network)
		}
	}
	pollertest.NoLeaks(t)
	ln := servePackets(t, "udp", "127.0.0.1:0", echoPackets, conn.WithLoops(2))
	if err := ln.Start(echoPackets); !errors.Is(err, conn.ErrInUse) {
		t.Errorf("served twice: %v", err)
	}
	if _, _, err := ln.ReadFrom(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read from while served: %v", err)
	}
	if other, err := conn.ListenPacket("udp", ln.LocalAddr().String()); err == nil {
		other.Close()
		t.Error("a port in use is shared")
	}
	if err := errors.Join(ln.SetReadBuffer(1<<20), ln.SetWriteBuffer(1<<20)); err != nil {
		t.Error(err)
	}
	rc, err := ln.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	called := 0
	if err := rc.Control(func(fd uintptr) { called++ }); err != nil || called != 1 {
		t.Errorf("called %d times: %v", called, err)
	}
	if rc.Read(nil) == nil || rc.Write(nil) == nil {
		t.Error("a served socket is read from")
	}
	addr := ln.LocalAddr().String()
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := ln.WriteTo(nil, ln.LocalAddr()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("written to when closed: %v", err)
	}
	if err := ln.Serve(echoPackets); err == nil {
		t.Error("served when closed")
	}
	again, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatalf("the port is not free: %v", err)
	}
	again.Close()
}

// A port that others may share is shared.
func TestPacketListenersShareAPort(t *testing.T) {
	a := servePackets(t, "udp", "127.0.0.1:0", echoPackets, conn.WithSharedPort())
	b := servePackets(t, "udp", a.LocalAddr().String(), echoPackets, conn.WithSharedPort())
	for range 20 {
		asks(t, dialPackets(t, b.LocalAddr()), []byte("x"))
	}
}

// What has come before Serve, more than a receive holds, is served: no edge says that
// there is more.
func TestPacketsThatWaited(t *testing.T) {
	ln, err := conn.ListenPacket("udp", "127.0.0.1:0", conn.WithLoops(1), conn.WithSteals(false))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := dialPackets(t, ln.LocalAddr())
	const n = 150
	for i := range n {
		if _, err := c.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := ln.Start(echoPackets); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		var got [8]byte
		if m, err := c.Read(got[:]); err != nil || m != 1 || got[0] != byte(i) {
			t.Fatalf("%d: %v, %v", i, got[:m], err)
		}
	}
}
