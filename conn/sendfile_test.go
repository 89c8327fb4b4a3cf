//go:build linux && (amd64 || arm64)

package conn_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller/pollertest"
)

// sfConn is what *conn.Conn and *net.TCPConn have in common here.
type sfConn interface {
	net.Conn
	io.ReaderFrom
	CloseWrite() error
	SetWriteBuffer(int) error
}

// sfSides are the connections that each body runs on: what package net does is
// the reference, so an expectation that is wrong fails there.
var sfSides = []struct {
	name    string
	network string
	ofNet   bool
}{
	{"net", "tcp", true},
	{"tcp", "tcp", false},
	{"unix", "unix", false},
}

// sfOnEach runs body on a pair of each side: a connection that was accepted, and
// its peer, which is package net's.
func sfOnEach(t *testing.T, body func(t *testing.T, c sfConn, peer net.Conn)) {
	for _, side := range sfSides {
		t.Run(side.name, func(t *testing.T) {
			if !side.ofNet { // package net keeps the pipes it splices through
				pollertest.NoLeaks(t)
			}
			c, peer := sfPair(t, side.network, side.ofNet)
			body(t, c, peer)
		})
	}
}

// sfPair connects the two; they end with the test.
func sfPair(t *testing.T, network string, ofNet bool) (sfConn, net.Conn) {
	t.Helper()
	var c, peer net.Conn
	if ofNet {
		ln, err := net.Listen(network, "127.0.0.1:0")
		sfMust(t, err)
		defer ln.Close()
		peer, err = net.Dial(network, ln.Addr().String())
		sfMust(t, err)
		c, err = ln.Accept()
		sfMust(t, err)
	} else {
		ln := listen(t, network, sfAddr(t, network), conn.WithLoops(1))
		t.Cleanup(func() { sfEnds(t, ln) })
		c, peer = pipe(t, ln, false)
	}
	t.Cleanup(func() { c.Close(); peer.Close() })
	for _, one := range []net.Conn{c, peer} {
		one.SetDeadline(time.Now().Add(patience))
	}
	return c.(sfConn), peer
}

func sfAddr(t *testing.T, network string) string {
	switch network {
	case "unix":
		return filepath.Join(t.TempDir(), "s")
	case "tcp6":
		return "[::1]:0"
	}
	return "127.0.0.1:0"
}

// sfEnds closes the listener, if that was not done, and waits for its loops.
func sfEnds(t *testing.T, ln *conn.Listener) {
	t.Helper()
	ln.Close()
	done := make(chan struct{})
	go func() { ln.Wait(); close(done) }()
	sfWait(t, "the end of the loops", done)
}

// sfWait waits for done to be closed, or for a value.
func sfWait[T any](t *testing.T, what string, done <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-done:
	case <-time.After(patience):
		t.Fatalf("%s: nothing in %v", what, patience)
	}
	return v
}

func sfMust(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sfFile is a file with b in it, open at its start.
func sfFile(t *testing.T, b []byte) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	sfMust(t, err)
	t.Cleanup(func() { f.Close() })
	_, err = f.Write(b)
	sfMust(t, err)
	_, err = f.Seek(0, io.SeekStart)
	sfMust(t, err)
	return f
}

// sfAll has everything that c still gets, when it has ended.
func sfAll(c io.Reader) <-chan []byte {
	got := make(chan []byte, 1)
	go func() {
		b, err := io.ReadAll(c)
		if err != nil {
			b = append(b, err.Error()...)
		}
		got <- b
	}()
	return got
}

// sfSame fails if got is not want, without printing megabytes.
func sfSame(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	t.Errorf("%s: %d bytes, want %d; they differ at %d: %.40q, want %.40q", what, len(got), len(want), at, got[at:], want[at:])
}

// sfLeft is what is to be known after ReadFrom: where the file is, and what the
// limit has left. -1: not asked.
type sfLeft struct{ offset, n int64 }

// TestReadFromFile sends parts of a file between a header and a trailer.
func TestReadFromFile(t *testing.T) {
	const size = 100_000
	limited := func(n int64) func(*os.File) io.Reader {
		return func(f *os.File) io.Reader { return &io.LimitedReader{R: f, N: n} }
	}
	plain := func(f *os.File) io.Reader { return f }
	for _, tt := range []struct {
		name     string
		size     int64
		start    int64 // of the file's own offset
		reader   func(*os.File) io.Reader
		from, to int64 // what is to be sent
		left     sfLeft
	}{
		{"1 B", 1, 0, plain, 0, 1, sfLeft{1, -1}},
		{"4 KiB", 4 << 10, 0, plain, 0, 4 << 10, sfLeft{4 << 10, -1}},
		{"64 KiB", 64 << 10, 0, plain, 0, 64 << 10, sfLeft{64 << 10, -1}},
		{"5 MiB", 5 << 20, 0, plain, 0, 5 << 20, sfLeft{5 << 20, -1}},
		{"empty", 0, 0, plain, 0, 0, sfLeft{0, -1}},
		{"from an offset", size, 777, plain, 777, size, sfLeft{size, -1}},
		{"from the end", size, size, plain, size, size, sfLeft{size, -1}},
		{"from beyond the end", size, size + 9, plain, size, size, sfLeft{size + 9, -1}},
		{"limit below", size, 0, limited(size - 1), 0, size - 1, sfLeft{size - 1, 0}},
		{"limit equal", size, 0, limited(size), 0, size, sfLeft{size, 0}},
		{"limit above", size, 0, limited(size + 5), 0, size, sfLeft{size, 5}},
		{"limit above the most of one sendfile", 5 << 20, 0, limited(3<<20 + 1), 0, 3<<20 + 1, sfLeft{3<<20 + 1, 0}},
		{"limit of an empty file", 0, 0, limited(5), 0, 0, sfLeft{0, 5}},
		{"limit of zero", size, 0, limited(0), 0, 0, sfLeft{0, 0}},
		{"negative limit", size, 0, limited(-3), 0, 0, sfLeft{0, -3}},
		{"limit from an offset", size, 50_000, limited(1000), 50_000, 51_000, sfLeft{51_000, 0}},
		{"section", size, 5, func(f *os.File) io.Reader { return io.NewSectionReader(f, 100, 70_000) }, 100, 70_100, sfLeft{5, -1}},
		{"section beyond the end", size, 5, func(f *os.File) io.Reader { return io.NewSectionReader(f, 90_000, 70_000) }, 90_000, size, sfLeft{5, -1}},
		{"limit of a section that was read from", size, 5, func(f *os.File) io.Reader {
			s := io.NewSectionReader(f, 100, 70_000)
			s.Seek(50, io.SeekStart)
			return &io.LimitedReader{R: s, N: 1000}
		}, 150, 1150, sfLeft{5, 0}},
		{"no file to be seen", size, 0, func(f *os.File) io.Reader { return struct{ io.Reader }{f} }, 0, size, sfLeft{size, -1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sfOnEach(t, func(t *testing.T, c sfConn, peer net.Conn) {
				content := streamOf(7, int(tt.size))
				f := sfFile(t, content)
				_, err := f.Seek(tt.start, io.SeekStart)
				sfMust(t, err)
				got := sfAll(peer)
				r := tt.reader(f)

				io.WriteString(c, "header ")
				n, err := c.ReadFrom(r)
				if n != tt.to-tt.from || err != nil {
					t.Errorf("ReadFrom: %d, %v, want %d", n, err, tt.to-tt.from)
				}
				io.WriteString(c, " trailer")
				sfMust(t, c.CloseWrite())

				want := "header " + string(content[tt.from:tt.to]) + " trailer"
				sfSame(t, "the peer", sfWait(t, "the peer", got), []byte(want))
				left := sfLeft{-1, -1}
				left.offset, err = f.Seek(0, io.SeekCurrent)
				sfMust(t, err)
				if lr, ok := r.(*io.LimitedReader); ok {
					left.n = lr.N
				}
				if left != tt.left {
					t.Errorf("afterwards: %+v, want %+v", left, tt.left)
				}
			})
		})
	}
}

// TestReadFromOthers has what is no regular file copied.
func TestReadFromOthers(t *testing.T) {
	content := streamOf(8, 200_000)
	errBroken := errors.New("broken")
	feed := func(t *testing.T, w io.WriteCloser) {
		done := make(chan struct{})
		go func() { defer close(done); w.Write(content); w.Close() }()
		t.Cleanup(func() { sfWait(t, "the writer", done) })
	}
	kernel, err := os.ReadFile("/proc/version")
	sfMust(t, err)
	for _, tt := range []struct {
		name   string
		reader func(t *testing.T) io.Reader
		want   []byte
		err    error
	}{
		{"bytes", func(*testing.T) io.Reader { return bytes.NewReader(content) }, content, nil},
		{"a limit of bytes", func(*testing.T) io.Reader { return io.LimitReader(bytes.NewReader(content), 70_000) }, content[:70_000], nil},
		{"bufio over a file", func(t *testing.T) io.Reader { return bufio.NewReader(sfFile(t, content)) }, content, nil},
		{"nothing", func(*testing.T) io.Reader { return strings.NewReader("") }, nil, nil},
		{"pipe", func(t *testing.T) io.Reader {
			r, w, err := os.Pipe()
			sfMust(t, err)
			t.Cleanup(func() { r.Close() })
			feed(t, w)
			return r
		}, content, nil},
		{"a limit of a pipe", func(t *testing.T) io.Reader {
			r, w, err := os.Pipe()
			sfMust(t, err)
			feed(t, w)
			t.Cleanup(func() { r.Close() }) // before the writer is waited for
			return io.LimitReader(r, 50_000)
		}, content[:50_000], nil},
		// Such a file says that it is empty, and is not.
		{"a file of the kernel", func(t *testing.T) io.Reader {
			f, err := os.Open("/proc/version")
			sfMust(t, err)
			t.Cleanup(func() { f.Close() })
			return f
		}, kernel, nil},
		{"a connection of package net", func(t *testing.T) io.Reader {
			c, peer := sfPair(t, "tcp", true)
			feed(t, peer)
			return c
		}, content, nil},
		{"a connection of a loop", func(t *testing.T) io.Reader {
			c, peer := sfPair(t, "tcp", false)
			feed(t, peer)
			return c
		}, content, nil},
		{"an error in the middle", func(*testing.T) io.Reader {
			return io.MultiReader(bytes.NewReader(content[:40_000]), sfBroken{errBroken})
		}, content[:40_000], errBroken},
		{"a closed file", func(t *testing.T) io.Reader {
			f := sfFile(t, content)
			f.Close()
			return f
		}, nil, os.ErrClosed},
		{"a file that cannot be read", func(t *testing.T) io.Reader {
			f, err := os.OpenFile(filepath.Join(t.TempDir(), "w"), os.O_WRONLY|os.O_CREATE, 0o600)
			sfMust(t, err)
			t.Cleanup(func() { f.Close() })
			return f
		}, nil, syscall.EBADF},
		{"a directory", func(t *testing.T) io.Reader {
			f, err := os.Open(t.TempDir())
			sfMust(t, err)
			t.Cleanup(func() { f.Close() })
			return f
		}, nil, syscall.EISDIR},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sfOnEach(t, func(t *testing.T, c sfConn, peer net.Conn) {
				r := tt.reader(t)
				got := sfAll(peer)
				io.WriteString(c, "header ")
				n, err := c.ReadFrom(r)
				if n != int64(len(tt.want)) || !errors.Is(err, tt.err) {
					t.Errorf("ReadFrom: %d, %v, want %d, %v", n, err, len(tt.want), tt.err)
				}
				// The reader's error is not the connection's.
				if _, err := io.WriteString(c, " trailer"); err != nil {
					t.Error(err)
				}
				sfMust(t, c.CloseWrite())
				sfSame(t, "the peer", sfWait(t, "the peer", got), []byte("header "+string(tt.want)+" trailer"))
			})
		})
	}
}

type sfBroken struct{ err error }

func (b sfBroken) Read([]byte) (int, error) { return 0, b.err }

// TestReadFromSlowPeer fills the socket again and again.
func TestReadFromSlowPeer(t *testing.T) {
	sfOnEach(t, func(t *testing.T, c sfConn, peer net.Conn) {
		sfNarrow(t, c, peer)
		content := streamOf(9, 5<<20)
		f := sfFile(t, content)
		sent := make(chan error, 1)
		go func() {
			_, err := c.ReadFrom(f)
			c.CloseWrite()
			sent <- err
		}()
		r, got, buf := rand.New(rand.NewPCG(1, 1)), []byte(nil), make([]byte, 20_000)
		for {
			n, err := peer.Read(buf[:1+r.IntN(len(buf))])
			if got = append(got, buf[:n]...); err != nil {
				break
			}
		}
		sfSame(t, "the peer", got, content)
		if err := sfWait(t, "ReadFrom", sent); err != nil {
			t.Error(err)
		}
	})
}

// sfNarrow has the connection hold little, so that a sender soon waits.
func sfNarrow(t *testing.T, c sfConn, peer net.Conn) {
	t.Helper()
	sfMust(t, c.SetWriteBuffer(64<<10))
	sfMust(t, peer.(interface{ SetReadBuffer(int) error }).SetReadBuffer(64<<10))
}
