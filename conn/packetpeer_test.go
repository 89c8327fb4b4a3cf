//go:build linux && (amd64 || arm64)

package conn_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/poller/faulty"
)

// enroller is a Listener or a PacketListener.
type enroller interface {
	EnrollPackets(loop int, nc net.Conn, h conn.PacketHandler, opened func(*conn.PacketPeer, error)) error
	Stats() conn.Stats
	Wait()
	Close() error
}

// onBothLoops runs test with loops of connections, and with loops of datagrams.
func onBothLoops(t *testing.T, test func(*testing.T, enroller)) {
	for _, backend := range []string{"direct", "uring", "kmod"} {
		for _, of := range []string{"connections", "datagrams"} {
			t.Run(backend+" "+of, func(t *testing.T) {
				requireBackend(t, backend)
				opts := []conn.Option{conn.WithBackend(backend), conn.WithLoops(1), conn.WithSteals(false)}
				if of == "datagrams" {
					test(t, servePackets(t, "udp", "127.0.0.1:0", echoPackets, opts...))
					return
				}
				ln, err := conn.Listen("tcp", "127.0.0.1:0", opts...)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { ln.Close(); ln.Wait() })
				test(t, ln)
			})
		}
	}
}

// enroll enrolls a socket that is connected to the address.
func enroll(t *testing.T, ln enroller, to net.Addr, h conn.PacketHandler) *conn.PacketPeer {
	t.Helper()
	nc, err := net.Dial(to.Network(), to.String())
	if err != nil {
		t.Fatal(err)
	}
	peers := make(chan *conn.PacketPeer, 1)
	if err := ln.EnrollPackets(-1, nc, h, func(p *conn.PacketPeer, err error) {
		if err != nil {
			t.Error(err)
		}
		peers <- p
	}); err != nil {
		t.Fatal(err)
	}
	select {
	case p := <-peers:
		return p
	case <-time.After(patience):
		t.Fatal("it is not opened")
	}
	return nil
}

func packetSocketOf(t *testing.T) net.PacketConn {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { pc.Close() })
	return pc
}

// Datagrams go to the peer and come from him whole, in their order, whoever sends; those
// of others do not come; and who has closed it is not served any more.
func TestPacketPeer(t *testing.T) {
	if !ordered(t) {
		return
	}
	onBothLoops(t, func(t *testing.T, ln enroller) {
		far, third := packetSocketOf(t), packetSocketOf(t)
		came := make(chan string, 100)
		p := enroll(t, ln, far.LocalAddr(), conn.PacketHandlerFunc(func(p *conn.Packets) {
			for p.Next() {
				came <- fmt.Sprint(len(p.Data()))
				p.Reply(p.Data())
			}
		}))
		third.WriteTo([]byte("not from the peer"), p.LocalAddr())
		buf := make([]byte, 1<<16)
		sizes := []int{1, 0, 1200, 1200, 7, 1200, 1200, 60_000, 3}
		for _, n := range sizes {
			far.WriteTo(bytes.Repeat([]byte{byte(n)}, n), p.LocalAddr())
		}
		for _, want := range sizes {
			n, from, err := far.ReadFrom(buf)
			if err != nil || n != want || from.String() != p.LocalAddr().String() || n > 0 && buf[n-1] != byte(n) {
				t.Fatalf("%d bytes from %v, %v; want %d from %v", n, from, err, want, p.LocalAddr())
			}
			if s := <-came; s != fmt.Sprint(want) {
				t.Fatalf("served %s bytes, want %d", s, want)
			}
		}
		for i := range 5 {
			if n, err := p.Write([]byte{byte(i)}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		if _, err := p.Write(make([]byte, 65508)); !errors.Is(err, unix.EMSGSIZE) {
			t.Errorf("Write of more than a datagram: %v", err)
		}
		for i := range 5 {
			if n, _, err := far.ReadFrom(buf); n != 1 || err != nil || buf[0] != byte(i) {
				t.Fatalf("datagram %d is %x, %v", i, buf[:n], err)
			}
		}
		if _, err := p.WriteToUDPAddrPort([]byte("third"), third.LocalAddr().(*net.UDPAddr).AddrPort()); err != nil {
			t.Fatal(err)
		}
		if n, _, err := third.ReadFrom(buf); string(buf[:n]) != "third" || err != nil {
			t.Fatalf("another got %q, %v", buf[:n], err)
		}
		if err := errors.Join(p.SetReadBuffer(1<<16), p.SetWriteBuffer(1<<16)); err != nil {
			t.Error(err)
		}
		f, err := p.File()
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		waitUntil(t, "all are counted", func() bool {
			st := ln.Stats()
			return st.PacketsIn == uint64(len(sizes)) && st.PacketsOut == uint64(len(sizes))+6
		})
		if st := ln.Stats(); st.PacketsDropped != 0 || st.Open != 0 {
			t.Errorf("%+v", st)
		}
		p.Write([]byte("last"))
		if p.FD() < 0 || p.Close() != nil || p.FD() >= 0 {
			t.Error("it does not close")
		}
		if n, _, err := far.ReadFrom(buf); string(buf[:n]) != "last" || err != nil {
			t.Errorf("what was written before Close came as %q, %v", buf[:n], err)
		}
		for what, err := range map[string]error{"Close": p.Close(), "Write": second(p.Write([]byte("x"))), "File": second(p.File())} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s after Close: %v", what, err)
			}
		}
		ln.Close()
		ln.Wait()
	})
}

func second[T any](_ T, err error) error { return err }

// That nobody is there is told once, by a later Write or in the handler, and the socket
// goes on.
func TestPacketPeerRefused(t *testing.T) {
	onBothLoops(t, func(t *testing.T, ln enroller) {
		far, err := net.ListenPacket("udp4", "127.0.0.9:0") // where nobody else takes the port meanwhile
		if err != nil {
			t.Fatal(err)
		}
		var peer atomic.Pointer[conn.PacketPeer]
		served := make(chan error, 100)
		p := enroll(t, ln, far.LocalAddr(), conn.PacketHandlerFunc(func(p *conn.Packets) {
			if p := peer.Load(); p != nil {
				if err := p.Err(); err != nil {
					served <- err
				}
			}
			echoPackets(p)
		}))
		defer p.Close()
		far.Close()
		for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			_, err := p.Write([]byte("x"))
			if errors.Is(err, syscall.ECONNREFUSED) {
				break
			}
			if err != nil || time.Now().After(end) {
				t.Fatalf("Write to nobody: %v", err)
			}
		}
		peer.Store(p)
		p.Write([]byte("x"))
		select {
		case err := <-served:
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("the handler is told %v", err)
			}
		case <-time.After(patience):
			t.Error("the handler is not told")
		}
		again, err := net.ListenPacket("udp4", far.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		again.SetDeadline(time.Now().Add(patience))
		again.WriteTo([]byte("back"), p.LocalAddr())
		buf := make([]byte, 10)
		for string(buf[:4]) != "back" {
			if _, _, err := again.ReadFrom(buf); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Many are served by one loop, beside its connections, and it ends when the last is closed.
func TestPacketPeersAndConnections(t *testing.T) {
	ln, err := conn.Listen("tcp", "127.0.0.1:0", conn.WithLoops(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Start(serveFunc{serve: echoOnce}); err != nil {
		t.Fatal(err)
	}
	far := packetSocketOf(t)
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := far.ReadFrom(buf)
			if err != nil {
				return
			}
			far.WriteTo(buf[:n], from)
		}
	}()
	const many = 100
	answers := make(chan string, many)
	var peers []*conn.PacketPeer
	for range many {
		peers = append(peers, enroll(t, ln, far.LocalAddr(), conn.PacketHandlerFunc(func(p *conn.Packets) {
			for p.Next() {
				answers <- string(p.Data())
			}
		})))
	}
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	seen := make(map[string]bool)
	for i, p := range peers {
		p.Write(fmt.Append(nil, i))
		asks(t, c, []byte("a connection"))
		select {
		case s := <-answers:
			seen[s] = true
		case <-time.After(patience):
			t.Fatal("no answer")
		}
	}
	if len(seen) != many {
		t.Errorf("%d peers were answered, of %d", len(seen), many)
	}
	if st := ln.Stats(); st.Open != 1 {
		t.Errorf("%d connections are open", st.Open)
	}
	c.Close()
	ln.Close()
	for _, p := range peers {
		p.Close()
	}
	ln.Wait()
}

// Who asks on a connection while many PacketPeers have much to receive waits for some of
// it, not for all.
func TestPacketPeersLetConnectionsGoOn(t *testing.T) {
	var received, before atomic.Int64
	asked := make(chan struct{})
	ln := served(t, serveFunc{serve: func(c *conn.Conn) {
		if _, err := c.Read(make([]byte, 16)); err == nil {
			before.Store(received.Load())
			close(asked)
		}
		c.Close()
	}}, conn.WithLoops(1), conn.WithSteals(false), conn.WithDispatch(conn.DispatchInline))
	c, err := net.Dial("tcp", ln.Addr().String())
	sfMust(t, err)
	defer c.Close()
	far := packetSocketOf(t)
	const many, each = 16, 64
	all := make(chan struct{})
	var once sync.Once
	var peers []*conn.PacketPeer
	for range many {
		peers = append(peers, enroll(t, ln, far.LocalAddr(), conn.PacketHandlerFunc(func(p *conn.Packets) {
			once.Do(func() { c.Write([]byte("x")) })
			for p.Next() {
				if received.Add(1) == many*each {
					close(all)
				}
			}
		})))
	}
	held, release := make(chan struct{}), make(chan struct{})
	ln.Execute(0, func() { close(held); <-release })
	<-held
	for _, p := range peers {
		for range each {
			_, err := far.WriteTo([]byte{1}, p.LocalAddr())
			sfMust(t, err)
		}
	}
	close(release)
	for _, ch := range []chan struct{}{asked, all} {
		select {
		case <-ch:
		case <-time.After(patience):
			t.Fatalf("%d datagrams of %d were served", received.Load(), many*each)
		}
	}
	if n := before.Load(); n > 4*each {
		t.Errorf("%d datagrams of %d were served first", n, many*each)
	}
	for _, p := range peers {
		p.Close()
	}
}

// What a handler has answered before it closes the PacketPeer leaves, also if the loop has
// gone on without it.
func TestPacketPeerClosedBySlowHandler(t *testing.T) {
	ln := served(t, serveFunc{serve: echoOnce}, conn.WithLoops(1))
	far := packetSocketOf(t)
	opened, stolen := make(chan struct{}), make(chan struct{})
	var peer *conn.PacketPeer
	var calls atomic.Int32
	peer = enroll(t, ln, far.LocalAddr(), conn.PacketHandlerFunc(func(p *conn.Packets) {
		<-opened
		if calls.Add(1); !p.Next() {
			return
		}
		<-stolen
		p.Reply([]byte("the last"))
		peer.Close()
		ln.Do(0, func() {}) // what the close has the loop do is done
		p.Reply([]byte("and one more"))
	}))
	close(opened)
	_, err := far.WriteTo([]byte("ask"), peer.LocalAddr())
	sfMust(t, err)
	waitUntil(t, "the loop is stolen", func() bool { return ln.Stats().Steals > 0 })
	close(stolen)
	buf := make([]byte, 100)
	for _, want := range []string{"the last", "and one more"} {
		if n, _, err := far.ReadFrom(buf); err != nil || string(buf[:n]) != want {
			t.Fatalf("%q, %v; want %q", buf[:n], err, want)
		}
	}
	waitUntil(t, "the socket is closed", func() bool {
		pc, err := net.ListenPacket("udp4", peer.LocalAddr().String())
		if err == nil {
			pc.Close()
		}
		return err == nil
	})
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// Nor is it lost if the socket does not take it at once.
func TestPacketPeerClosedBeforeAllIsTaken(t *testing.T) {
	f := faulty.New(1, poller.Direct, faulty.WithRates(faulty.Rates{ShortSend: 0.3, Again: 0.3, Interrupt: 0.1, NoBuffers: 0.1}))
	ln := served(t, serveFunc{serve: echoOnce}, conn.WithLoops(1), conn.WithSteals(false), conn.WithFactory(f))
	far := packetSocketOf(t)
	answers := []string{"the last", "and one more", "and a third, which is longer"}
	for range 30 {
		opened := make(chan *conn.PacketPeer, 1)
		peer := enroll(t, ln, far.LocalAddr(), conn.PacketHandlerFunc(func(p *conn.Packets) {
			if !p.Next() {
				return
			}
			for _, b := range answers {
				p.Reply([]byte(b))
			}
			(<-opened).Close()
		}))
		opened <- peer
		_, err := far.WriteTo([]byte("ask"), peer.LocalAddr())
		sfMust(t, err)
		buf := make([]byte, 100)
		for _, want := range answers {
			if n, _, err := far.ReadFrom(buf); err != nil || string(buf[:n]) != want {
				t.Fatalf("%q, %v; want %q; %v", buf[:n], err, want, f)
			}
		}
	}
}

// What cannot be enrolled is refused with a reason.
func TestPacketPeerErrors(t *testing.T) {
	ln := servePackets(t, "udp", "127.0.0.1:0", echoPackets)
	idle, err := conn.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	stream, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	far := packetSocketOf(t)
	for _, tt := range []struct {
		ln   enroller
		nc   net.Conn
		says string
	}{
		{ln, far.(*net.UDPConn), "has none"},
		{idle, dialPackets(t, far.LocalAddr()), "call Start first"},
		{ln, stream, "no socket of datagrams"},
	} {
		err := tt.ln.EnrollPackets(-1, tt.nc, echoPackets, func(*conn.PacketPeer, error) { t.Error("it is opened") })
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%v; want ...%s...", err, tt.says)
		}
	}
	ln.Close()
	ln.Wait()
	if err := ln.EnrollPackets(-1, dialPackets(t, far.LocalAddr()), echoPackets, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}
