//go:build linux && (amd64 || arm64)

package conn_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/poller/faulty"
	"github.com/escahttp/esca/poller/pollertest"
)

// patience is how long these tests wait for what has to come.
const patience = 30 * time.Second

// streamLen is how much each side of a connection sends.
const streamLen = 300_000

// noise is what streams are cut from: to make each anew would take longer than to send it.
var noise = sync.OnceValue(func() []byte {
	b := make([]byte, longestStream+differentStreams)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
})

const (
	longestStream    = 16 << 20
	differentStreams = 4 << 20
)

// streamOf is what a side sends, not to be written to: every stretch differs, from every
// other connection's as well. The beginning of a longer one is the shorter one.
func streamOf(seed uint64, n int) []byte {
	at := seed * 0x9e3779b97f4a7c15 >> 42 // of differentStreams
	return noise()[at:][:n:n]
}

// TestSeeds has streams cross connections whose backend is faulty, one seed after
// the other: every byte arrives once and in order, and descriptors and workers
// come back. ESCA_SEEDS says how many seeds.
func TestSeeds(t *testing.T) {
	pollertest.NoLeaks(t)
	seeds := 60
	if v := os.Getenv("ESCA_SEEDS"); v != "" {
		var err error
		if seeds, err = strconv.Atoi(v); err != nil {
			t.Fatalf("ESCA_SEEDS=%q is not a number", v)
		}
	}
	if testing.Short() {
		seeds = min(seeds, 20)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, streamOf(99, streamLen), 0o644); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(seeds) {
		rates := faulty.DefaultRates()
		if seed%3 != 0 {
			rates.Reset = 0 // then everything must arrive
		}
		s := &seeded{
			T: t, seed: seed, file: file, rand: rand.New(rand.NewPCG(seed, 2)),
			resets: rates.Reset > 0, faults: faulty.New(seed, poller.Direct, faulty.WithRates(rates)),
		}
		switch seed % 2 {
		case 0:
			s.accepted()
		case 1:
			s.served()
		}
		if t.Failed() {
			t.Fatalf("seed %d: %v", seed, s.faults)
		}
	}
}

// seeded is one seed's run.
type seeded struct {
	*testing.T
	seed   uint64
	file   string
	rand   *rand.Rand
	resets bool
	faults *faulty.Factory
}

func (s *seeded) listen() *conn.Listener {
	network, addr := "tcp", "127.0.0.1:0"
	if s.seed%5 == 0 {
		network, addr = "unix", filepath.Join(s.TempDir(), "s")
	}
	return listen(s, network, addr, conn.WithFactory(s.faults), conn.WithLoops(1+int(s.seed/2%2)),
		conn.WithDispatch(conn.Dispatch(s.seed/2%3)), conn.WithLinger(10*time.Second), conn.WithLogger(quietLog{}))
}

type quietLog struct{}

func (quietLog) Printf(string, ...any) {}

// ends closes the listener and waits for its loops.
func (s *seeded) ends(ln *conn.Listener) {
	ln.Close()
	done := make(chan struct{})
	go func() { ln.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		s.Errorf("the loops do not end: %+v", ln.Stats())
		return
	}
	if st := ln.Stats(); st.Open != 0 || st.Workers != 0 {
		s.Errorf("at the end: %+v", st)
	}
}

// accepted crosses streams over connections from Accept.
func (s *seeded) accepted() {
	ln := s.listen()
	var wg sync.WaitGroup
	for i := range uint64(4) {
		up, down := streamOf(s.seed<<8+i*2, streamLen), streamOf(s.seed<<8+i*2+1, streamLen)
		if i == 3 {
			down = streamOf(99, streamLen) // the file's
		}
		peer, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
		if err != nil {
			s.Error(err)
			return
		}
		c, err := ln.Accept()
		if err != nil {
			s.Error(err)
			return
		}
		for _, one := range []net.Conn{peer, c} {
			one.SetDeadline(time.Now().Add(patience))
		}
		r1, r2 := s.rand.Uint64(), s.rand.Uint64()
		var both sync.WaitGroup
		both.Add(4)
		go func() { defer both.Done(); s.send(peer, up, r1) }()
		go func() { defer both.Done(); s.receive("peer", peer, down) }()
		go func() { defer both.Done(); s.receive("conn", c, up) }()
		go func() {
			defer both.Done()
			if i == 3 {
				s.sendFile(c)
			} else {
				s.send(c, down, r2)
			}
		}()
		wg.Go(func() { both.Wait(); c.Close(); peer.Close() })
	}
	wg.Wait()
	s.ends(ln)
}

// send sends b in pieces of all sizes and ends its side.
func (s *seeded) send(c net.Conn, b []byte, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 3))
	for len(b) > 0 {
		n := 1 + r.IntN([]int{10, 1000, 20_000, 100_000}[r.IntN(4)])
		n = min(n, len(b))
		if m, err := c.Write(b[:n]); err != nil || m != n {
			s.failed("send", err)
			return
		}
		b = b[n:]
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		s.failed("close", err)
	}
}

// sendFile sends the file, half of it by its own offset, and ends its side.
func (s *seeded) sendFile(c net.Conn) {
	f, err := os.Open(s.file)
	if err != nil {
		s.Error(err)
		return
	}
	defer f.Close()
	c.Write(streamOf(99, streamLen)[:700])
	f.Seek(700, io.SeekStart)
	rf := c.(io.ReaderFrom)
	if _, err := rf.ReadFrom(&io.LimitedReader{R: f, N: 150_000}); err != nil {
		s.failed("sendfile", err)
		return
	}
	if _, err := rf.ReadFrom(io.NewSectionReader(f, 150_700, streamLen)); err != nil {
		s.failed("sendfile of a section", err)
		return
	}
	c.(interface{ CloseWrite() error }).CloseWrite()
}

// receive checks that want comes, and nothing else.
func (s *seeded) receive(who string, c net.Conn, want []byte) {
	buf := make([]byte, 10_000)
	at := 0
	for {
		n, err := c.Read(buf)
		if at+n > len(want) || string(buf[:n]) != string(want[at:at+n]) {
			s.Errorf("seed %d: %s: what comes at byte %d is not what was sent", s.seed, who, at)
			return
		}
		at += n
		if err == nil {
			continue
		}
		if at < len(want) || err != io.EOF {
			s.failed(fmt.Sprintf("%s receives, at %d of %d", who, at, len(want)), err)
		}
		return
	}
}

// failed reports an error, unless a reset was injected, which ends a connection.
func (s *seeded) failed(what string, err error) {
	if !s.resets {
		s.Errorf("seed %d: %s: %v", s.seed, what, err)
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		s.Errorf("seed %d: %s hangs: %v", s.seed, what, err)
	}
}

// answering is a Handler: a line with a number is answered with as many bytes.
type answering struct{}

func (answering) Open(*conn.Burst) {}

func (answering) Serve(b *conn.Burst) {
	c := b.Conn()
	br, _ := conn.BurstOf(c).Context().(*bufio.Reader)
	if br == nil {
		br = bufio.NewReaderSize(c, 64)
		conn.BurstOf(c).SetContext(br)
	}
	for {
		if br.Buffered() == 0 {
			conn.BurstOf(c).AtBoundary(conn.ErrBurstOver)
		}
		if _, err := br.Peek(1); err != nil {
			if !conn.BurstOf(c).Over() {
				c.Close()
			}
			return
		}
		conn.BurstOf(c).AtBoundary(nil)
		line, err := br.ReadString('\n')
		n, perr := strconv.Atoi(line[:max(len(line)-1, 0)])
		if err != nil || perr != nil {
			c.Close()
			return
		}
		if _, err := c.Write(streamOf(uint64(n), n)); err != nil {
			c.Close()
			return
		}
	}
}

// served has requests answered by bursts, some of them pipelined or in pieces.
func (s *seeded) served() {
	ln := s.listen()
	served := make(chan error, 1)
	go func() { served <- ln.Serve(answering{}) }()
	var wg sync.WaitGroup
	for range 6 {
		c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
		if err != nil {
			s.Error(err)
			return
		}
		c.SetDeadline(time.Now().Add(patience))
		r := rand.New(rand.NewPCG(s.rand.Uint64(), 4))
		wg.Go(func() {
			defer c.Close()
			for range 20 {
				var sizes []int
				request := ""
				for range 1 + r.IntN(3) {
					n := 1 + r.IntN([]int{50, 5000, 60_000}[r.IntN(3)])
					sizes = append(sizes, n)
					request += strconv.Itoa(n) + "\n"
				}
				cut := r.IntN(len(request) + 1)
				io.WriteString(c, request[:cut])
				io.WriteString(c, request[cut:])
				for _, n := range sizes {
					got := make([]byte, n)
					if m, err := io.ReadFull(c, got); err != nil {
						s.failed(fmt.Sprintf("answer, %d of %d", m, n), err)
						if errors.Is(err, os.ErrDeadlineExceeded) {
							s.Log(ln.Dump())
						}
						return
					}
					if string(got) != string(streamOf(uint64(n), n)) {
						s.Errorf("seed %d: an answer of %d bytes is not the right one", s.seed, n)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	s.ends(ln)
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		s.Errorf("Serve: %v", err)
	}
}
