//go:build linux && (amd64 || arm64)

package conn_test

import (
	"bytes"
	"net/netip"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
)

// narrow is a way to the peers that takes no message of several datagrams: what the
// kernel says of a device without checksums (EIO), or of a path that is narrower than
// they are (EINVAL).
type narrow struct {
	poller.Factory
	errno   unix.Errno
	refused *atomic.Int32
}

type narrowBackend struct {
	poller.Backend
	narrow
	sh *poller.Shared
}

func (n narrow) Open(ep *poller.Epoll, sh *poller.Shared) (poller.Backend, error) {
	b, err := n.Factory.Open(ep, sh)
	return narrowBackend{b, n, sh}, err
}

func (b narrowBackend) Tick(n int) (int, error) {
	b.Run(n)
	return b.Backend.Tick(0)
}

func (b narrowBackend) Run(n int) { poller.Chain(b.sh.Entries[:n], b.Call) }

// Call sends those in front of the first message of several datagrams, and refuses
// that one if it is the first.
func (b narrowBackend) Call(e *poller.Entry) {
	if e.NR != unix.SYS_SENDMMSG {
		b.Backend.Call(e)
		return
	}
	args := e.Args
	defer func() { e.Args = args }()
	for i, m := range unsafe.Slice(*(**poller.Packet)(unsafe.Pointer(&e.Args[1])), e.Args[2]) {
		if m.Controllen == 0 {
			continue
		}
		if i == 0 {
			b.refused.Add(1)
			e.Ret = -int64(b.errno)
			return
		}
		e.Args[2] = uint64(i)
		break
	}
	b.Backend.Call(e)
}

// What cannot leave together leaves one by one, in order.
func TestPacketsThatCannotBeSegmented(t *testing.T) {
	if !ordered(t) {
		return
	}
	for _, errno := range []unix.Errno{unix.EIO, unix.EINVAL} {
		t.Run(unix.ErrnoName(errno), func(t *testing.T) {
			f := narrow{poller.Direct, errno, new(atomic.Int32)}
			ln := servePackets(t, "udp", "127.0.0.1:0", conn.PacketHandlerFunc(func(p *conn.Packets) {
				for p.Next() {
					for i, n := range []int{7, 20, 20, 20, 5, 30, 30, 3, 3} {
						p.Reply(bytes.Repeat([]byte{byte(i)}, n))
					}
				}
			}), conn.WithLoops(1), conn.WithFactory(f))
			c := dialPackets(t, ln.LocalAddr())
			for range 5 {
				c.Write([]byte("x"))
				for i, n := range []int{7, 20, 20, 20, 5, 30, 30, 3, 3} {
					got := make([]byte, 100)
					m, err := c.Read(got)
					if err != nil || !bytes.Equal(got[:m], bytes.Repeat([]byte{byte(i)}, n)) {
						t.Fatalf("%d: %v, %v", i, got[:m], err)
					}
				}
			}
			if f.refused.Load() == 0 {
				t.Error("nothing was sent together")
			}
			if s := ln.Stats(); s.PacketsDropped != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// What the kernel refuses for what is sent, and not for the way, has nothing to do with
// other peers: a datagram can come from port 0, to which nobody can send.
func TestPacketsToNobodyCostOthersNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int
	}{
		{"short", 3},
		{"long", 1400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := counted{poller.Direct, new(atomic.Int32)}
			nobody := netip.MustParseAddrPort("127.0.0.1:0")
			ln := servePackets(t, "udp4", "127.0.0.1:0", conn.PacketHandlerFunc(func(p *conn.Packets) {
				for p.Next() {
					if string(p.Data()) == "bad" {
						p.Send(make([]byte, tt.size), nobody, nil)
						p.Send(make([]byte, tt.size), nobody, nil)
					}
					for range 4 {
						p.Reply(bytes.Repeat([]byte("x"), 1400))
					}
				}
			}), conn.WithLoops(1), conn.WithFactory(f))
			c := dialPackets(t, ln.LocalAddr())
			ask := func(what string) (together int32) {
				f.together.Store(0)
				c.Write([]byte(what))
				for range 4 {
					if n, err := c.Read(make([]byte, 2000)); n != 1400 || err != nil {
						t.Fatalf("%d, %v", n, err)
					}
				}
				return f.together.Load()
			}
			ask("x")
			for range 3 {
				ask("bad")
			}
			if n := ask("x"); n != 1 {
				t.Errorf("then %d messages of several datagrams are sent, and not 1", n)
			}
			if s := ln.Stats(); s.PacketsDropped != 6 {
				t.Errorf("%d are dropped, and not 6", s.PacketsDropped)
			}
		})
	}
}

// counted counts the messages of several datagrams.
type counted struct {
	poller.Factory
	together *atomic.Int32
}

type countedBackend struct {
	poller.Backend
	counted
	sh *poller.Shared
}

func (n counted) Open(ep *poller.Epoll, sh *poller.Shared) (poller.Backend, error) {
	b, err := n.Factory.Open(ep, sh)
	return countedBackend{b, n, sh}, err
}

func (b countedBackend) Tick(n int) (int, error) {
	b.Run(n)
	return b.Backend.Tick(0)
}

func (b countedBackend) Run(n int) { poller.Chain(b.sh.Entries[:n], b.Call) }

func (b countedBackend) Call(e *poller.Entry) {
	if e.NR == unix.SYS_SENDMMSG {
		for _, m := range unsafe.Slice(*(**poller.Packet)(unsafe.Pointer(&e.Args[1])), e.Args[2]) {
			if m.Controllen > 0 {
				b.together.Add(1)
			}
		}
	}
	b.Backend.Call(e)
}
