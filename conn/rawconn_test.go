//go:build linux && (amd64 || arm64)

package conn_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
)

// sfRaw is the raw connection of c.
func sfRaw(t *testing.T, c net.Conn) syscall.RawConn {
	t.Helper()
	rc, err := c.(syscall.Conn).SyscallConn()
	sfMust(t, err)
	return rc
}

// TestRawControl sees the descriptor: a socket, with the peer that c has.
func TestRawControl(t *testing.T) {
	sfOnEach(t, func(t *testing.T, c sfConn, peer net.Conn) {
		calls := 0
		err := sfRaw(t, c).Control(func(fd uintptr) {
			calls++
			typ, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE)
			if typ != unix.SOCK_STREAM || err != nil {
				t.Errorf("type %d, %v", typ, err)
			}
			sa, err := unix.Getpeername(int(fd))
			sfMust(t, err)
			if a, ok := sa.(*unix.SockaddrInet4); ok && a.Port != peer.LocalAddr().(*net.TCPAddr).Port {
				t.Errorf("the peer is %v, want %v", a, peer.LocalAddr())
			}
			if flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0); flags&unix.O_NONBLOCK == 0 || err != nil {
				t.Errorf("flags %#x, %v: it blocks", flags, err)
			}
			if flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 || err != nil {
				t.Errorf("flags %#x, %v: children inherit it", flags, err)
			}
		})
		if calls != 1 || err != nil {
			t.Errorf("%d calls, %v", calls, err)
		}
	})
}

// TestRawRead reads by hand what comes while it waits.
func TestRawRead(t *testing.T) {
	sfOnEach(t, func(t *testing.T, c sfConn, peer net.Conn) {
		content := streamOf(20, 300_000)
		var got []byte
		started := make(chan struct{})
		go func() {
			<-started
			peer.Write(content)
		}()
		buf, calls := make([]byte, 10_000), 0
		err := sfRaw(t, c).Read(func(fd uintptr) bool {
			if calls++; calls == 1 {
				close(started) // nothing can have come before
			}
			for {
				n, err := unix.Read(int(fd), buf)
				if got = append(got, buf[:max(n, 0)]...); n <= 0 {
					if err != unix.EAGAIN {
						t.Errorf("read: %d, %v", n, err)
						return true
					}
					return len(got) == len(content)
				}
			}
		})
		if err != nil {
			t.Error(err)
		}
		sfSame(t, "read by hand", got, content)

		// And the connection reads on as ever.
		io.WriteString(peer, "more")
		b := make([]byte, 4)
		if _, err := io.ReadFull(c, b); err != nil || string(b) != "more" {
			t.Errorf("%q, %v", b, err)
		}
	})
}

// TestRawReadComesLater reads by hand when something has come before: that is
// Conn.Read's, and what comes later is found, without looking again and again.
func TestRawReadComesLater(t *testing.T) {
	c, peer := sfPair(t, "tcp", false)
	io.WriteString(peer, "hello")
	b := make([]byte, 4)
	_, err := io.ReadFull(c, b[:1]) // so it has come; "ello" is left
	sfMust(t, err)
	got, calls := "", 0
	err = sfRaw(t, c).Read(func(fd uintptr) bool {
		buf := make([]byte, 10)
		n, _, err := unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
		got += string(buf[:max(n, 0)])
		if calls++; calls == 1 {
			io.WriteString(peer, "later")
		}
		return len(got) >= len("later") || calls == 1000 || err != unix.EAGAIN && err != nil
	})
	if got != "later" || err != nil || calls == 1000 {
		t.Errorf("%q, %v, after %d calls", got, err, calls)
	}
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "ello" {
		t.Errorf("left: %q, %v", b, err)
	}
}

// TestRawWrite writes by hand more than the socket takes at once.
func TestRawWrite(t *testing.T) {
	sfOnEach(t, func(t *testing.T, c sfConn, peer net.Conn) {
		sfNarrow(t, c, peer)
		content := streamOf(21, 5<<20)
		got := sfAll(peer)
		rest := content
		err := sfRaw(t, c).Write(func(fd uintptr) bool { return sfPush(t, int(fd), &rest) })
		if err != nil {
			t.Error(err)
		}
		io.WriteString(c, " after")
		c.CloseWrite()
		sfSame(t, "the peer", sfWait(t, "the peer", got), []byte(string(content)+" after"))
	})
}

// sfPush writes until the socket is full, or all is written, and says which.
func sfPush(t *testing.T, fd int, rest *[]byte) bool {
	for len(*rest) > 0 {
		n, err := unix.Write(fd, *rest)
		if err == unix.EAGAIN {
			return false
		}
		if err != nil {
			t.Error(err)
			return true
		}
		*rest = (*rest)[n:]
	}
	return true
}

// sfByHand answers a byte by Write and then by hand.
type sfByHand struct{ t *testing.T }

func (sfByHand) Open(*conn.Burst) {}

func (h sfByHand) Serve(b *conn.Burst) {
	c := b.Conn()
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err != nil {
		h.t.Error(err)
		return
	}
	io.WriteString(c, "first ")
	rc, _ := c.SyscallConn()
	rest := []byte("second ")
	if err := rc.Write(func(fd uintptr) bool { return sfPush(h.t, int(fd), &rest) }); err != nil {
		h.t.Error(err)
	}
	io.WriteString(c, "third")
}

// TestRawWriteDoesNotOvertake writes by hand behind what a Handler has written,
// which is still queued then.
func TestRawWriteDoesNotOvertake(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1), conn.WithDispatch(conn.DispatchInline))
	defer sfEnds(t, ln)
	go ln.Serve(sfByHand{t})
	peer, err := net.Dial("tcp", ln.Addr().String())
	sfMust(t, err)
	defer peer.Close()
	peer.SetDeadline(time.Now().Add(patience))
	peer.Write([]byte{'?'})
	sfSame(t, "the peer", sfWait(t, "the peer", sfAll(peer)), []byte("first second third"))
}

// TestRawEnded ends what waits in the raw connection.
func TestRawEnded(t *testing.T) {
	never := func(started chan struct{}) func(uintptr) bool {
		first := true
		return func(uintptr) bool {
			if first {
				first = false
				close(started)
			}
			return false
		}
	}
	for _, tt := range []struct {
		name string
		end  func(sfConn)
		err  error
	}{
		{"Close", func(c sfConn) { c.Close() }, net.ErrClosed},
		{"deadline", func(c sfConn) { c.SetDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sfOnEach(t, func(t *testing.T, c sfConn, peer net.Conn) {
				started, ended := make(chan struct{}), make(chan error, 1)
				go func() { ended <- sfRaw(t, c).Read(never(started)) }()
				sfWait(t, "the first call", started)
				tt.end(c)
				if err := sfWait(t, "the end of Read", ended); !errors.Is(err, tt.err) {
					t.Errorf("%v, want %v", err, tt.err)
				}
			})
		})
	}
}

// TestFile has a duplicate live on without the connection.
func TestFile(t *testing.T) {
	sfOnEach(t, func(t *testing.T, c sfConn, peer net.Conn) {
		f, err := c.(interface{ File() (*os.File, error) }).File()
		sfMust(t, err)
		own := -1
		sfMust(t, sfRaw(t, c).Control(func(fd uintptr) { own = int(fd) }))
		if int(f.Fd()) == own {
			t.Error("the same descriptor, want a duplicate")
		}
		again, err := net.FileConn(f)
		f.Close()
		sfMust(t, err)
		defer again.Close()
		if a, b := again.RemoteAddr().String(), c.RemoteAddr().String(); a != b && peer.LocalAddr().Network() == "tcp" {
			t.Errorf("connected to %v, want %v", a, b)
		}
		c.Close()
		again.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(again, "duplicate"); err != nil {
			t.Error(err)
		}
		b := make([]byte, 9)
		if _, err := io.ReadFull(peer, b); err != nil || string(b) != "duplicate" {
			t.Errorf("the peer: %q, %v", b, err)
		}
	})
}

// TestAddressesAreThePeers compares the two views of a connection.
func TestAddressesAreThePeers(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ name, network, addr, dial string }{
		{"tcp", "tcp", "127.0.0.1:0", ""},
		{"tcp4", "tcp4", "127.0.0.1:0", ""},
		{"tcp4 on all addresses", "tcp4", "0.0.0.0:0", "127.0.0.1"},
		{"tcp6", "tcp6", "[::1]:0", ""},
		{"IPv4 over a socket of both", "tcp", "[::]:0", "127.0.0.1"},
		{"IPv6 over a socket of both", "tcp", ":0", "::1"},
		{"unix", "unix", filepath.Join(dir, "s"), ""},
		{"unix, abstract", "unix", "@esca" + dir, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln := listen(t, tt.network, tt.addr, conn.WithLoops(2))
			defer sfEnds(t, ln)
			to := ln.Addr().String()
			if tt.dial != "" {
				_, port, _ := net.SplitHostPort(to)
				to = net.JoinHostPort(tt.dial, port)
			}
			peer, err := net.Dial(tt.network, to)
			sfMust(t, err)
			defer peer.Close()
			accepted, err := ln.Accept()
			sfMust(t, err)
			defer accepted.Close()
			own, err := net.Dial(tt.network, to) // to be adopted
			sfMust(t, err)
			local, remote := own.LocalAddr(), own.RemoteAddr()
			adopted, err := ln.Adopt(own)
			sfMust(t, err)
			defer adopted.Close()
			other, err := ln.Accept() // the other end of it
			sfMust(t, err)
			defer other.Close()
			for _, v := range []struct {
				what      string
				got, want net.Addr
			}{
				{"local", accepted.LocalAddr(), peer.RemoteAddr()},
				{"remote", accepted.RemoteAddr(), peer.LocalAddr()},
				{"adopted, local", adopted.LocalAddr(), local},
				{"adopted, remote", adopted.RemoteAddr(), remote},
			} {
				want := v.want.String()
				if tt.network == "unix" && strings.HasSuffix(v.what, "remote") {
					want = "" // documented: the names of unix peers are not kept
				}
				if v.got.String() != want || v.got.Network() != v.want.Network() {
					t.Errorf("%s: %v %q, want %v %q", v.what, v.got.Network(), v.got, v.want.Network(), want)
				}
			}
			accepted.Close()
			if a := accepted.RemoteAddr().String(); tt.network != "unix" && a != peer.LocalAddr().String() {
				t.Errorf("after Close the peer is %s", a)
			}
		})
	}
}
