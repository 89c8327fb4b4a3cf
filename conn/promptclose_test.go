//go:build linux && (amd64 || arm64)

package conn_test

import (
	"io"
	"net"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
)

// A close keeps the P unless somebody may have set SO_LINGER, with which it waits for
// the peer: on the connection, or on the listening socket.
func TestCloseIsPrompt(t *testing.T) {
	raw := func(c *conn.Conn, f func(fd uintptr)) {
		rc, err := c.SyscallConn()
		if err == nil {
			err = rc.Control(f)
		}
		if err != nil {
			t.Errorf("Control: %v", err)
		}
	}
	for _, tt := range []struct {
		name   string
		ln     func(ln *conn.Listener) // before Serve
		c      func(c *conn.Conn)
		prompt bool
	}{
		{"nobody has seen the descriptor", nil, func(*conn.Conn) {}, true},
		{"SetLinger", nil, func(c *conn.Conn) { c.SetLinger(5) }, true},
		{"Control", nil, func(c *conn.Conn) { raw(c, func(uintptr) {}) }, false},
		{"raw Write", nil, func(c *conn.Conn) {
			rc, err := c.SyscallConn()
			sfMust(t, err)
			rc.Write(func(uintptr) bool { return true })
		}, false},
		{"FD", nil, func(c *conn.Conn) { conn.BurstOf(c).FD() }, false},
		{"File", nil, func(c *conn.Conn) {
			f, err := c.File()
			sfMust(t, err)
			f.Close()
		}, false},
		{"the listener's File", func(ln *conn.Listener) {
			f, err := ln.File()
			sfMust(t, err)
			f.Close()
		}, func(*conn.Conn) {}, false},
	} {
		for _, backend := range backends(t) {
			t.Run(backend.Name()+"/"+tt.name, func(t *testing.T) {
				seen := &tables{Factory: backend}
				ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1), conn.WithFactory(seen))
				if tt.ln != nil {
					tt.ln(ln)
				}
				go ln.Serve(serveFunc{serve: func(c *conn.Conn) {
					tt.c(c)
					c.Read(make([]byte, 16))
					c.Close()
				}})
				c, err := net.Dial("tcp", ln.Addr().String())
				sfMust(t, err)
				defer c.Close()
				io.WriteString(c, "x")
				if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
					t.Errorf("%q, %v; want the end", b, err)
				}
				seen.mu.Lock()
				defer seen.mu.Unlock()
				var socket poller.Entry
				if len(seen.closes) == 1 {
					socket.CloseSocket(int32(seen.closes[0][0]))
				}
				if got := slices.Equal(seen.closes, [][6]uint64{socket.Args}); got != tt.prompt || len(seen.closes) != 1 {
					t.Errorf("closes %v: prompt %v, want %v", seen.closes, got, tt.prompt)
				}
			})
		}
	}
}

// What the listening socket has of SO_LINGER, its connections inherit.
func TestCloseOfALingeringListener(t *testing.T) {
	for _, lingers := range []bool{false, true} {
		seen := &tables{Factory: poller.Direct}
		lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
			return rc.Control(func(fd uintptr) {
				if lingers {
					unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 1})
				}
			})
		}}
		inner, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		sfMust(t, err)
		ln, err := conn.FromListener(inner, conn.WithLoops(1), conn.WithFactory(seen))
		sfMust(t, err)
		t.Cleanup(func() { ln.Close(); ln.Wait() })
		go ln.Serve(serveFunc{serve: func(c *conn.Conn) {
			c.Read(make([]byte, 16))
			c.Close()
		}})
		c, err := net.Dial("tcp", ln.Addr().String())
		sfMust(t, err)
		io.WriteString(c, "x")
		io.ReadAll(c)
		c.Close()
		seen.mu.Lock()
		if prompt := len(seen.closes) == 1 && seen.closes[0][5] != 0; prompt == lingers {
			t.Errorf("SO_LINGER %v: closes %v", lingers, seen.closes)
		}
		seen.mu.Unlock()
	}
}
