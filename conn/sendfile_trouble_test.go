//go:build linux && (amd64 || arm64)

package conn_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
)

// sfSent is what a ReadFrom of its own goroutine has returned.
type sfSent struct {
	n   int64
	err error
}

// sfStuck has c send f, narrow, to a peer that has read the first bytes, returned
// as head, and then no more.
func sfStuck(t *testing.T, c sfConn, peer net.Conn, f *os.File) (sent chan sfSent, head []byte) {
	t.Helper()
	sfNarrow(t, c, peer)
	sent = make(chan sfSent, 1)
	go func() {
		n, err := c.ReadFrom(f)
		sent <- sfSent{n, err}
	}()
	head = make([]byte, 1000)
	_, err := io.ReadFull(peer, head)
	sfMust(t, err)
	return sent, head
}

// sfLarge is more than the sockets of sfNarrow hold.
const sfLarge = 16 << 20

// TestReadFromShrinkingFile cuts the file off behind what is on its way. What is
// sent then is shorter, and the connection is as good as before.
func TestReadFromShrinkingFile(t *testing.T) {
	content := streamOf(10, sfLarge)
	sfOnEach(t, func(t *testing.T, c sfConn, peer net.Conn) {
		f := sfFile(t, content)
		sent, head := sfStuck(t, c, peer, f)
		sfMust(t, os.Truncate(f.Name(), 0))
		rest := sfAll(peer)
		s := sfWait(t, "ReadFrom", sent)
		if s.err != nil || s.n >= sfLarge || s.n < int64(len(head)) {
			t.Fatalf("ReadFrom: %+v", s)
		}
		io.WriteString(c, " trailer")
		sfMust(t, c.CloseWrite())
		got := append(head, sfWait(t, "the peer", rest)...)
		want := append(sfCut(t, f, content[:s.n], got), " trailer"...)
		sfSame(t, "the peer", got, want)
	})
}

// sfCut is what a peer who got these bytes should have got of f's content while f
// was cut off: the content. But a read that the cut meets finds zeros in a tmpfs
// of Linux before 6.6, whose shmem_file_read_iter asks whether a page is the last
// of its file, not whether it is beyond: the pages of the last read may be zero.
func sfCut(t *testing.T, f *os.File, content, got []byte) []byte {
	const page, lastRead = 4096, 64 << 10 // the pipe that a sendfile goes through
	want := bytes.Clone(content)
	var fs unix.Statfs_t
	sfMust(t, unix.Fstatfs(int(f.Fd()), &fs))
	same := 0
	for same < len(want) && same < len(got) && got[same] == want[same] {
		same++
	}
	tail := want[same&^(page-1):]
	if fs.Type != unix.TMPFS_MAGIC || len(tail) > lastRead || len(got) < len(want) {
		return want
	}
	if zeros := make([]byte, len(tail)); bytes.Equal(zeros, got[len(want)-len(tail):len(want)]) {
		copy(tail, zeros)
	}
	return want
}

// TestReadFromAgainstAReset has the peer reset the connection meanwhile.
func TestReadFromAgainstAReset(t *testing.T) {
	content := make([]byte, sfLarge)
	sfOnEach(t, func(t *testing.T, c sfConn, peer net.Conn) {
		f := sfFile(t, content)
		sent, _ := sfStuck(t, c, peer, f)
		if tc, ok := peer.(*net.TCPConn); ok {
			tc.SetLinger(0)
		}
		peer.Close()
		s := sfWait(t, "ReadFrom", sent)
		if !errors.Is(s.err, syscall.ECONNRESET) && !errors.Is(s.err, syscall.EPIPE) || s.n >= sfLarge {
			t.Errorf("ReadFrom: %d, %v, want a reset", s.n, s.err)
		}
		var op *net.OpError
		if !errors.As(s.err, &op) {
			t.Errorf("%T is no *net.OpError", s.err)
		}
		if n, err := c.ReadFrom(f); n != 0 || err == nil {
			t.Errorf("once more: %d, %v", n, err)
		}
	})
}

// TestReadFromEndedByUs ends a ReadFrom that waits for the peer.
func TestReadFromEndedByUs(t *testing.T) {
	content := streamOf(11, sfLarge)
	for _, tt := range []struct {
		name string
		end  func(sfConn)
		err  error
	}{
		{"Close", func(c sfConn) { c.Close() }, net.ErrClosed},
		{"deadline", func(c sfConn) { c.SetWriteDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sfOnEach(t, func(t *testing.T, c sfConn, peer net.Conn) {
				f := sfFile(t, content)
				sent, head := sfStuck(t, c, peer, f)
				tt.end(c)
				s := sfWait(t, "ReadFrom", sent)
				if !errors.Is(s.err, tt.err) || s.n < int64(len(head)) || s.n >= sfLarge {
					t.Fatalf("ReadFrom: %+v, want %v", s, tt.err)
				}
				c.Close()
				got := append(head, sfWait(t, "the peer", sfAll(peer))...)
				sfSame(t, "the peer", got, content[:s.n])
			})
		})
	}
}

// TestReadFromAfter asks connections for it that cannot write.
func TestReadFromAfter(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(sfConn)
		err   error
	}{
		{"Close", func(c sfConn) { c.Close() }, net.ErrClosed},
		{"CloseWrite", func(c sfConn) { c.CloseWrite() }, syscall.EPIPE},
		{"the deadline", func(c sfConn) { c.SetWriteDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sfOnEach(t, func(t *testing.T, c sfConn, peer net.Conn) {
				b := make([]byte, 5000)
				// A file each: package net reads from it before it fails.
				readers := []io.Reader{sfFile(t, b), io.LimitReader(sfFile(t, b), 100), bytes.NewReader(b)}
				tt.spoil(c)
				for _, r := range readers {
					n, err := c.ReadFrom(r)
					if n != 0 || !errors.Is(err, tt.err) {
						t.Errorf("ReadFrom of a %T: %d, %v, want %v", r, n, err, tt.err)
					}
				}
				c.Close()
				sfSame(t, "the peer", sfWait(t, "the peer", sfAll(peer)), nil)
			})
		})
	}
}

// TestReadFromGoesOnAfterTheDeadline sends a file in as many pieces as deadlines
// cut it into: what ReadFrom returns, the file's offset and what arrives agree.
func TestReadFromGoesOnAfterTheDeadline(t *testing.T) {
	content := streamOf(13, sfLarge)
	sfOnEach(t, func(t *testing.T, c sfConn, peer net.Conn) {
		f := sfFile(t, content)
		sent, head := sfStuck(t, c, peer, f)
		c.SetWriteDeadline(time.Unix(1, 0))
		s := sfWait(t, "ReadFrom", sent)
		if at, err := f.Seek(0, io.SeekCurrent); at != s.n || err != nil {
			t.Errorf("the file is at %d (%v), ReadFrom has sent %d", at, err, s.n)
		}
		c.SetWriteDeadline(time.Now().Add(patience))
		rest := sfAll(peer)
		n, err := c.ReadFrom(f)
		if s.n+n != sfLarge || err != nil {
			t.Errorf("the rest: %d after %d, %v", n, s.n, err)
		}
		c.CloseWrite()
		sfSame(t, "the peer", append(head, sfWait(t, "the peer", rest)...), content)
	})
}

// TestReadFromIsNotInterrupted has others write meanwhile: they come before or
// after the file, not into it.
func TestReadFromIsNotInterrupted(t *testing.T) {
	a, b := bytes.Repeat([]byte("a"), sfLarge), bytes.Repeat([]byte("b"), 3<<20)
	sfOnEach(t, func(t *testing.T, c sfConn, peer net.Conn) {
		fa, fb := sfFile(t, a), sfFile(t, b)
		sent, head := sfStuck(t, c, peer, fa)
		var wg sync.WaitGroup
		wg.Go(func() { c.ReadFrom(fb) })
		wg.Go(func() { io.WriteString(c, "small") })
		wg.Go(func() { c.Write(bytes.Repeat([]byte("B"), 100_000)) })
		rest := sfAll(peer)
		sfWait(t, "ReadFrom", sent)
		wg.Wait()
		c.CloseWrite()
		got := append(head, sfWait(t, "the peer", rest)...)
		if want := len(a) + len(b) + 100_005; len(got) != want {
			t.Fatalf("%d bytes, want %d", len(got), want)
		}
		for what, piece := range map[string][]byte{"the first file": a, "the second file": b, "the small write": []byte("small"), "the long write": bytes.Repeat([]byte("B"), 100_000)} {
			if !bytes.Contains(got, piece) {
				t.Errorf("%s is in pieces", what)
			}
		}
		sfSame(t, "the first that was sent", got[:len(a)], a)
	})
}

// sfAnswering answers each byte with a header, the file, from its beginning, and
// a trailer: where a Handler sends, the header still lies in the table.
type sfAnswering struct {
	header  string
	section func() io.Reader
	errs    chan error
}

func (sfAnswering) Open(*conn.Burst) {}

func (h sfAnswering) Serve(b *conn.Burst) {
	c := b.Conn()
	if _, err := c.Read(make([]byte, 1)); err != nil {
		c.Close()
		return
	}
	io.WriteString(c, h.header)
	if _, err := c.ReadFrom(h.section()); err != nil {
		h.errs <- err
	}
	io.WriteString(c, " trailer")
}

// TestReadFromOfHandlers sends from workers of each kind, with headers that the
// socket takes in one piece and such that it does not.
func TestReadFromOfHandlers(t *testing.T) {
	for _, dispatch := range []conn.Dispatch{conn.DispatchInline, conn.DispatchGoroutine} {
		for _, memory := range []poller.Config{{}, {Entries: 4}} {
			for _, header := range []int{1, 15 << 10, 300 << 10} {
				for _, size := range []int{0, 1, 64 << 10, 1 << 20} {
					t.Run(fmt.Sprintf("dispatch %d, %d entries, %d B and %d B", dispatch, memory.Entries, header, size), func(t *testing.T) {
						content := streamOf(14, size)
						f := sfFile(t, content)
						h := sfAnswering{
							header:  string(streamOf(15, header)),
							section: func() io.Reader { return io.NewSectionReader(f, 0, int64(size)) },
							errs:    make(chan error, 100),
						}
						sfAnswers(t, h, string(content), conn.WithDispatch(dispatch), conn.WithMemory(memory), conn.WithLoops(1))
					})
				}
			}
		}
	}
}

// sfAnswers has a few peers ask h at once, a few times each.
func sfAnswers(t *testing.T, h sfAnswering, content string, opts ...conn.Option) {
	ln := listen(t, "tcp", "127.0.0.1:0", opts...)
	defer sfEnds(t, ln)
	go ln.Serve(h)
	var wg sync.WaitGroup
	for range 3 {
		peer, err := net.Dial("tcp", ln.Addr().String())
		sfMust(t, err)
		peer.SetDeadline(time.Now().Add(patience))
		wg.Go(func() {
			defer peer.Close()
			want := h.header + content + " trailer"
			got := make([]byte, len(want))
			for range 3 {
				peer.Write([]byte{'?'})
				n, err := io.ReadFull(peer, got)
				if sfSame(t, "the peer", got[:n], []byte(want)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-h.errs:
		t.Error(err)
	default:
	}
}

// TestCopyOfFileGoesBySendfile is how files are mostly sent: not by ReadFrom, but
// by io.Copy, which hides the file's WriteTo behind a type of package os.
func TestCopyOfFileGoesBySendfile(t *testing.T) {
	for _, tt := range []struct {
		name string
		copy func(net.Conn, *os.File) (int64, error)
	}{
		{"ReadFrom", func(c net.Conn, f *os.File) (int64, error) { return c.(io.ReaderFrom).ReadFrom(f) }},
		{"io.CopyN", func(c net.Conn, f *os.File) (int64, error) { return io.CopyN(c, f, 100_000) }},
		{"io.Copy", func(c net.Conn, f *os.File) (int64, error) { return io.Copy(c, f) }},
		{"WriteTo", func(c net.Conn, f *os.File) (int64, error) { return f.WriteTo(c) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1))
			defer sfEnds(t, ln)
			c, peer := pipe(t, ln, false)
			defer peer.Close()
			content := streamOf(16, 100_000)
			got := sfAll(peer)
			if n, err := tt.copy(c, sfFile(t, content)); n != 100_000 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			c.Close()
			sfSame(t, "the peer", sfWait(t, "the peer", got), content)
			if ln.Stats().ByCall[poller.CallSendfile] == 0 {
				t.Error("no sendfile")
			}
		})
	}
}

// sfHolding says, after header and file, what the kernel holds back of them.
type sfHolding struct {
	reader func() io.Reader
	held   chan uint32
}

func (sfHolding) Open(*conn.Burst) {}

func (h sfHolding) Serve(b *conn.Burst) {
	c := b.Conn()
	if _, err := c.Read(make([]byte, 1)); err != nil {
		c.Close()
		return
	}
	io.WriteString(c, "header")
	c.ReadFrom(h.reader())
	rc, _ := c.SyscallConn()
	rc.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			panic(err)
		}
		h.held <- info.Notsent_bytes
	})
}

// TestReadFromHoldsNothingBack sends a header and then a file that is shorter than
// a sendfile could be, or no file at all: the kernel was told that more comes,
// and must not sit on the header for the 200 ms that it then waits.
func TestReadFromHoldsNothingBack(t *testing.T) {
	pr, pw, err := os.Pipe()
	sfMust(t, err)
	pw.Close()
	defer pr.Close()
	for _, tt := range []struct {
		name   string
		size   int
		reader func(*os.File) io.Reader
	}{
		{"a short file", 1000, func(f *os.File) io.Reader { return io.NewSectionReader(f, 0, 1<<20) }},
		{"an empty file", 0, func(f *os.File) io.Reader { return f }},
		{"a limit above an empty file", 0, func(f *os.File) io.Reader { return io.LimitReader(f, 10) }},
		{"an empty pipe", 0, func(*os.File) io.Reader { return pr }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := sfFile(t, make([]byte, tt.size))
			h := sfHolding{func() io.Reader { return tt.reader(f) }, make(chan uint32, 1)}
			ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1), conn.WithDispatch(conn.DispatchInline))
			defer sfEnds(t, ln)
			go ln.Serve(h)
			peer, err := net.Dial("tcp", ln.Addr().String())
			sfMust(t, err)
			defer peer.Close()
			peer.Write([]byte{'?'})
			if held := sfWait(t, "the answer", h.held); held != 0 {
				t.Errorf("%d bytes are held back", held)
			}
		})
	}
}
