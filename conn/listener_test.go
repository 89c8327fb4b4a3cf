//go:build linux && (amd64 || arm64)

package conn_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller/pollertest"
)

// sfEcho asks c for an echo of its own.
func sfEcho(t *testing.T, c net.Conn, what string) {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, what)
	b := make([]byte, len(what))
	if n, err := io.ReadFull(c, b); err != nil || string(b) != what {
		t.Errorf("the echo of %q: %q, %v", what, b[:n], err)
	}
}

// sfEchoes accepts until the listener is closed, and echoes. The channel yields
// the error that ended it.
func sfEchoes(ln net.Listener) <-chan error {
	ended := make(chan error, 1)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				ended <- err
				return
			}
			go func() { defer c.Close(); io.Copy(c, struct{ io.Reader }{c}) }()
		}
	}()
	return ended
}

func sfDial(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	sfMust(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestListenErrors(t *testing.T) {
	dir := t.TempDir()
	path, long := filepath.Join(dir, "taken"), filepath.Join(dir, strings.Repeat("x", 200))
	taken := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(2))
	defer sfEnds(t, taken)
	ofNet, err := net.Listen("tcp", "127.0.0.1:0")
	sfMust(t, err)
	defer ofNet.Close()
	unixTaken := listen(t, "unix", path)
	defer sfEnds(t, unixTaken)

	for _, tt := range []struct {
		name, network, addr string
		err                 error // or nil: any
	}{
		{"port in use by us", "tcp", taken.Addr().String(), syscall.EADDRINUSE},
		{"port in use by another", "tcp", ofNet.Addr().String(), syscall.EADDRINUSE},
		{"port in use, tcp4", "tcp4", taken.Addr().String(), syscall.EADDRINUSE},
		{"unix path in use", "unix", path, syscall.EADDRINUSE},
		{"unix path in no directory", "unix", filepath.Join(dir, "none", "s"), syscall.ENOENT},
		{"unix path too long", "unix", long, nil},
		{"not our address", "tcp", "192.0.2.1:0", syscall.EADDRNOTAVAIL},
		{"network", "udp", "127.0.0.1:0", net.UnknownNetworkError("udp")},
		{"network of packets", "unixgram", path + "2", net.UnknownNetworkError("unixgram")},
		{"no network", "", "127.0.0.1:0", net.UnknownNetworkError("")},
		{"no port", "tcp", "127.0.0.1", nil},
		{"port that is none", "tcp", "127.0.0.1:no-such-port", nil},
		{"port too high", "tcp", "127.0.0.1:65536", nil},
		{"brackets", "tcp", "[::1:0", nil},
		{"IPv4 on tcp6", "tcp6", "127.0.0.1:0", nil},
		{"IPv6 on tcp4", "tcp4", "[::1]:0", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pollertest.NoLeaks(t)
			ln, err := conn.Listen(tt.network, tt.addr, conn.WithLoops(3))
			if err == nil {
				ln.Close()
				t.Fatal("it listens")
			}
			if ln != nil {
				t.Errorf("%v besides an error", ln)
			}
			if tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("%v, want %v", err, tt.err)
			}
			// Package net names the host, or the port if that is what is wrong.
			named := tt.addr
			if host, port, err := net.SplitHostPort(tt.addr); err == nil && tt.network != "unix" {
				if named = host; strings.Contains(tt.name, "port ") && tt.err == nil {
					named = port
				}
			}
			s := err.Error()
			if strings.Count(s, named) != 1 || strings.Count(s, "listen") != 1 || strings.Contains(s, "\n") {
				t.Errorf("%q, want one error that names %s once", s, named)
			}
		})
	}

	// Who was there before is not disturbed.
	for _, ln := range []*conn.Listener{taken, unixTaken} {
		sfEchoes(ln)
		c := sfDial(t, ln)
		sfEcho(t, c, "still here")
		c.Close()
	}
}

// TestListenServes goes through a life: of each network, for one loop and for
// more, as Listen makes it and as FromListener does.
func TestListenServes(t *testing.T) {
	for _, network := range []string{"tcp", "tcp4", "tcp6", "unix"} {
		for _, loops := range []int{1, 3} {
			for _, from := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d loops, of net: %v", network, loops, from), func(t *testing.T) {
					pollertest.NoLeaks(t)
					addr := sfAddr(t, network)
					var ln *conn.Listener
					if from {
						inner, err := net.Listen(network, addr)
						sfMust(t, err)
						ln, err = conn.FromListener(inner, conn.WithLoops(loops))
						sfMust(t, err)
						if ln.Addr().String() != inner.Addr().String() {
							t.Errorf("address %v, want %v", ln.Addr(), inner.Addr())
						}
					} else {
						ln = listen(t, network, addr, conn.WithLoops(loops))
					}
					if ln.Loops() != loops {
						t.Errorf("%d loops, want %d", ln.Loops(), loops)
					}
					ended := sfEchoes(ln)
					before := sfDial(t, ln)
					sfEcho(t, before, "before")

					if err := ln.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
					if err := sfWait(t, "Accept", ended); !errors.Is(err, net.ErrClosed) {
						t.Errorf("Accept: %v", err)
					}
					if _, err := os.Stat(addr); network == "unix" && !os.IsNotExist(err) {
						t.Errorf("the socket's file is left: %v", err)
					}
					sfRefused(t, ln)
					done := make(chan struct{})
					go func() { ln.Wait(); close(done) }()
					sfEcho(t, before, "after") // so they have not ended
					select {
					case <-done:
						t.Error("Wait does not wait for a connection")
					default:
					}
					before.Close()
					sfWait(t, "Wait", done)
					if st := ln.Stats(); st.Open != 0 || st.Accepted != 1 {
						t.Errorf("at the end: %+v", st)
					}
				})
			}
		}
	}
}

// sfRefused waits until no connection is made any more: Close tells the loops,
// and they close their sockets.
func sfRefused(t *testing.T, ln *conn.Listener) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		if ln.Drained() {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it is not drained")
		}
		time.Sleep(time.Millisecond) // between two looks
	}
	c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	if err == nil {
		c.Close()
		t.Error("a closed listener takes connections")
	}
}

// TestListenerCloseEndsAccept has several wait, and one come later.
func TestListenerCloseEndsAccept(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			pollertest.NoLeaks(t)
			ln := listen(t, network, sfAddr(t, network), conn.WithLoops(2))
			const n = 5
			errs := make(chan error, n)
			for range n {
				go func() {
					_, err := ln.Accept()
					errs <- err
				}()
			}
			ln.Close()
			for i := range n + 1 {
				var err error
				if i < n {
					err = sfWait(t, "Accept", errs)
				} else {
					_, err = ln.Accept()
				}
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("Accept: %v", err)
				}
			}
			sfEnds(t, ln)
		})
	}
}

// TestListenerCloseTwice closes at once and again; of those, one is the first.
func TestListenerCloseTwice(t *testing.T) {
	for _, used := range []bool{false, true} {
		t.Run(fmt.Sprintf("used %v", used), func(t *testing.T) {
			pollertest.NoLeaks(t)
			ln := listen(t, "unix", sfAddr(t, "unix"), conn.WithLoops(2))
			if used {
				c, peer := pipe(t, ln, false)
				c.Close()
				peer.Close()
			}
			var wg sync.WaitGroup
			errs := make(chan error, 4)
			for range 4 {
				wg.Go(func() { errs <- ln.Close() })
			}
			wg.Wait()
			first := 0
			for range 4 {
				if err := <-errs; err == nil {
					first++
				} else if !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
			}
			if first != 1 {
				t.Errorf("%d closed it, want one", first)
			}
			// The path is free, and not ours any more.
			again := listen(t, "unix", ln.Addr().String())
			ln.Close()
			if _, err := os.Stat(again.Addr().String()); err != nil {
				t.Errorf("closed again, it removed its successor's file: %v", err)
			}
			sfEnds(t, ln)
			sfEnds(t, again)
		})
	}
}

// TestFromListenerKeepsTheFile takes over a listener of which the owner has said
// that its file is to stay, as it is for one that a supervisor has passed on.
func TestFromListenerKeepsTheFile(t *testing.T) {
	for _, keep := range []bool{true, false} {
		path := sfAddr(t, "unix")
		inner, err := net.Listen("unix", path)
		sfMust(t, err)
		if keep {
			inner.(*net.UnixListener).SetUnlinkOnClose(false)
		}
		ln, err := conn.FromListener(inner)
		sfMust(t, err)
		ln.Close()
		sfEnds(t, ln)
		if _, err := os.Stat(path); (err == nil) != keep {
			t.Errorf("to be kept: %v; then %v", keep, err)
		}
	}
}

// TestListenerCloseWithAQueue closes while connections wait to be accepted. As
// with package net they are reset: none is left to nobody.
func TestListenerCloseWithAQueue(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for _, loop := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, accepting on %v", network, loop), func(t *testing.T) {
				for range 20 {
					sfQueueClosed(t, network, loop)
					if t.Failed() {
						return
					}
				}
			})
		}
	}
}

func sfQueueClosed(t *testing.T, network string, loop bool) {
	ln := listen(t, network, sfAddr(t, network), conn.WithLoops(2))
	c, peer := pipe(t, ln, false) // the sockets are registered
	c.Close()
	peer.Close()
	var peers []net.Conn
	for range 5 {
		peers = append(peers, sfDial(t, ln))
	}
	ln.Close()
	for loop {
		c, err := ln.Accept()
		if err != nil {
			break
		}
		c.Close()
	}
	for _, p := range peers {
		p.Close()
	}
	sfEnds(t, ln)
}

// TestLoopsShareTheWork connects enough that every loop has its part. On unix
// the loops share a socket, and one of them may take all: served they must be.
func TestLoopsShareTheWork(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			pollertest.NoLeaks(t)
			ln := listen(t, network, sfAddr(t, network), conn.WithLoops(3))
			var of [3]int
			for i := range 90 {
				c, peer := pipe(t, ln, false)
				of[conn.BurstOf(c.(*conn.Conn)).Loop()]++
				go io.Copy(c, struct{ io.Reader }{c})
				sfEcho(t, peer, fmt.Sprintf("number %d", i))
				c.Close()
				peer.Close()
			}
			if network == "tcp" && min(of[0], of[1], of[2]) == 0 {
				t.Errorf("the loops have had %v", of)
			}
			sfEnds(t, ln)
		})
	}
}
