//go:build linux && (amd64 || arm64)

package conn_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/poller/faulty"
	"github.com/escahttp/esca/poller/pollertest"
)

// With every fault the kernel has, all that is sent comes back, and in order, unless
// a Handler is left behind.
func TestPacketsSeeds(t *testing.T) {
	if !ordered(t) {
		return
	}
	all := faulty.DefaultRates()
	all.ShortSend, all.Again, all.ShortRecv = 0.2, 0.1, 0.2
	for name, rates := range map[string]faulty.Rates{"all": all, "interrupted": {Interrupt: 0.5}} {
		for seed := range uint64(6) {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) { echoWithFaults(t, faulty.New(seed, poller.Direct, faulty.WithRates(rates))) })
		}
	}
}

func echoWithFaults(t *testing.T, f *faulty.Factory) {
	defer func() {
		if t.Failed() {
			t.Log(f)
		}
	}()
	ln := servePackets(t, "udp", "127.0.0.1:0", echoPackets, conn.WithLoops(1), conn.WithFactory(f), conn.WithSteals(false))
	var wg sync.WaitGroup
	for range 4 {
		c := dialPackets(t, ln.LocalAddr())
		wg.Go(func() {
			for i := range 60 {
				for j := range 8 {
					if _, err := c.Write(bytes.Repeat([]byte{byte(i), byte(j)}, 10+j/3)); err != nil {
						t.Error(err)
						return
					}
				}
				for j := range 8 {
					got := make([]byte, 100)
					n, err := c.Read(got)
					if err != nil || !bytes.Equal(got[:n], bytes.Repeat([]byte{byte(i), byte(j)}, 10+j/3)) {
						t.Errorf("%d %d: % x, %v", i, j, got[:n], err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// What is lost on the way is missed, and nothing else.
func TestPacketsLost(t *testing.T) {
	f := faulty.New(1, poller.Direct, faulty.WithRates(faulty.Rates{Loss: 0.3}))
	ln := servePackets(t, "udp", "127.0.0.1:0", echoPackets, conn.WithLoops(1), conn.WithFactory(f))
	c := dialPackets(t, ln.LocalAddr())
	lost := 0
	for i := range 100 {
		c.Write([]byte{byte(i)})
		var got [8]byte
		for end := time.Now().Add(patience); ; {
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			n, err := c.Read(got[:])
			if err == nil && (n != 1 || got[0] != byte(i)) {
				t.Fatalf("%d: %v", i, got[:n])
			}
			if err == nil {
				break
			}
			if meant := len(f.Log()); meant > lost {
				lost = meant
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%d has not come, and was not meant to be lost: %v", i, f)
			}
		}
	}
	if lost == 0 {
		t.Error("none was lost")
	}
}

// A Handler that keeps its loop is left behind, with its datagrams, and what it
// answers goes out all the same.
func TestPacketsHandlerBlocks(t *testing.T) {
	pollertest.NoLeaks(t)
	blocks, release := make(chan struct{}), make(chan struct{})
	releaseOnce := sync.OnceFunc(func() { close(release) })
	ln := servePackets(t, "udp", "127.0.0.1:0", conn.PacketHandlerFunc(func(p *conn.Packets) {
		for p.Next() {
			if string(p.Data()) == "block" {
				close(blocks)
				<-release
			}
			p.Reply(p.Data())
		}
	}), conn.WithLoops(1))
	slow, quick := dialPackets(t, ln.LocalAddr()), dialPackets(t, ln.LocalAddr())
	defer releaseOnce()
	if _, err := slow.Write([]byte("block")); err != nil {
		t.Fatal(err)
	}
	<-blocks // or the others come with it
	for i := range 20 {
		asks(t, quick, []byte(fmt.Sprint(i)))
	}
	releaseOnce()
	got := make([]byte, 16)
	if n, err := slow.Read(got); err != nil || string(got[:n]) != "block" {
		t.Errorf("%q, %v", got[:n], err)
	}
	if ln.Stats().Steals == 0 {
		t.Error("the loop was not taken")
	}
}

// More handlers block than there are slots: the loop waits for one, without turning.
func TestPacketsNoSlots(t *testing.T) {
	release := make(chan struct{})
	ln := servePackets(t, "udp", "127.0.0.1:0", conn.PacketHandlerFunc(func(p *conn.Packets) {
		for p.Next() {
			<-release
			p.Reply(p.Data())
		}
	}), conn.WithLoops(1), conn.WithMemory(poller.Config{Slots: 2}))
	const n = 5
	var cs []net.Conn
	for i := range n {
		c := dialPackets(t, ln.LocalAddr())
		c.Write([]byte{byte(i)})
		cs = append(cs, c)
		if i == 0 { // or all come in one receive
			waitUntil(t, "the loop is stolen", func() bool { return ln.Stats().Steals > 0 })
		}
	}
	close(release)
	for i, c := range cs {
		got := make([]byte, 8)
		if m, err := c.Read(got); err != nil || m != 1 || got[0] != byte(i) {
			t.Errorf("%d: %v, %v", i, got[:m], err)
		}
	}
}

// A Handler may end its goroutine.
func TestPacketsHandlerEnds(t *testing.T) {
	ln := servePackets(t, "udp", "127.0.0.1:0", conn.PacketHandlerFunc(func(p *conn.Packets) {
		for p.Next() {
			p.Reply(p.Data())
			runtime.Goexit()
		}
	}), conn.WithLoops(1))
	c := dialPackets(t, ln.LocalAddr())
	for i := range 20 { // more often than there are slots
		asks(t, c, []byte{byte(i)})
	}
}

// A peer that reads nothing costs bounded memory, and is not waited for: what is
// over the queue is dropped and counted.
func TestPacketsQueueIsBounded(t *testing.T) {
	dir := t.TempDir()
	ln := servePackets(t, "unixgram", filepath.Join(dir, "s"), conn.PacketHandlerFunc(func(p *conn.Packets) {
		for p.Next() {
			for range 2000 {
				p.Reply(make([]byte, 1000))
			}
		}
	}), conn.WithLoops(1))
	c := dialPackets(t, ln.LocalAddr())
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "something is dropped", func() bool { return ln.Stats().PacketsDropped > 0 })
	got := make([]byte, 2000)
	n := 0
	for end := time.Now().Add(patience); ; {
		s := ln.Stats()
		if uint64(n) == s.PacketsOut && s.PacketsOut+s.PacketsDropped == 2000 {
			break
		}
		// What has come may not be counted yet, and then there is nothing to wait for.
		c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := c.Read(got); err == nil {
			n++
		} else if !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().After(end) {
			t.Fatalf("after %d: %v (%+v)", n, err, s)
		}
	}
	c.SetReadDeadline(time.Now().Add(patience))
	if n < 8 {
		t.Errorf("%d came", n)
	}
	// And the socket works on.
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(got); err != nil {
		t.Fatal(err)
	}
}
