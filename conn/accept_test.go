//go:build linux && (amd64 || arm64)

package conn_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/escahttp/esca/conn"
)

// A program that does not call Accept has hardly any connections open: they wait in
// the kernel's queue, as with package net. Accept gets them all, later.
func TestAcceptTakesWhatIsAskedFor(t *testing.T) {
	for _, loops := range []int{1, 3} {
		const all = 200
		ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(loops))
		accepted := make(chan net.Conn, all)
		accept := func() {
			c, err := ln.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			accepted <- c
		}
		go accept()
		for range all {
			c := dialed(t, ln)
			c.Write([]byte("x"))
		}
		first := sfWait(t, "the first", accepted)
		if open := ln.Stats().Open; open > 10 {
			t.Errorf("%d loops: one connection was asked for, and %d are open", loops, open)
		}
		for range all - 1 {
			go accept()
		}
		for i := range all {
			c := first
			if i > 0 {
				c = sfWait(t, "another", accepted)
			}
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				t.Error(err)
			}
			c.Close()
		}
		sfEnds(t, ln)
	}
}

// By default no loop has more than twice the connections of another, however the
// kernel spreads them, from the second on.
func TestFewConnectionsAreSpread(t *testing.T) {
	for _, loops := range []int{2, 3, 4} {
		for range 5 {
			on := make(chan int, 1)
			ln := served(t, serveFunc{
				open:  func(c *conn.Conn) { on <- conn.BurstOf(c).Loop() },
				serve: func(c *conn.Conn) { c.Close() },
			}, conn.WithLoops(loops))
			n := make([]int, loops)
			for range 3 * loops {
				dialed(t, ln)
				n[sfWait(t, "a loop", on)]++
				for i := range n {
					for j := range n {
						if n[i] > 1 && n[i] > 2*n[j] {
							t.Fatalf("connections on each of %d loops: %v", loops, n)
						}
					}
				}
			}
		}
	}
}

// A close behind a send that is short ends within the linger limit, wherever in the
// table the send lies.
func TestLingerWhereverTheSendLies(t *testing.T) {
	for _, tt := range []struct {
		name   string
		behind bool // another connection's send is behind it in the table
		chunks int
	}{
		{"the last of the table", false, 1},
		{"not the last", true, 1},
		{"with a backlog", true, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			other, closed := make(chan *conn.Conn, 1), make(chan struct{})
			ln := served(t, serveFunc{serve: func(c *conn.Conn) {
				var b [1]byte
				switch _, err := c.Read(b[:]); {
				case err != nil:
					c.Close()
				case b[0] == 'o':
					other <- c
					c.Write(b[:])
				case b[0] == 'p':
					c.Write(b[:])
				default:
					o := <-other
					fillSocket(t, c)
					for range tt.chunks {
						c.Write(make([]byte, 15<<10))
						if tt.behind {
							o.Write([]byte("x"))
						}
					}
					c.Close()
					close(closed)
				}
			}}, conn.WithLoops(1), conn.WithLinger(30*time.Millisecond))
			o := dialed(t, ln)
			o.Write([]byte("o"))
			_, err := io.ReadFull(o, make([]byte, 1))
			sfMust(t, err)
			a := dialed(t, ln)
			sfMust(t, a.(*net.TCPConn).SetReadBuffer(2048))
			a.Write([]byte("a"))
			sfWait(t, "Close", closed)
			for end := time.Now().Add(patience); ln.Stats().Open != 1; {
				if time.Now().After(end) {
					t.Fatalf("the connection lives on: %s", ln.Dump())
				}
				time.Sleep(time.Millisecond) // nothing announces it
			}
		})
	}
}
