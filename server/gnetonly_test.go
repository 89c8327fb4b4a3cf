//go:build linux && (amd64 || arm64)

package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/logging"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/poller/faulty"
	"github.com/escahttp/esca/server"
)

// What gnet refuses at the start is refused with the same error; what it ignores,
// and we cannot do, by name.
func TestGnetRefusals(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	noCert := &tls.Config{}
	for _, tt := range []struct {
		addr string
		tls  *tls.Config
		opts []gnet.Option
		is   error  // of gnet as well, or:
		text string // what the error says
	}{
		{addr: "", is: gneterrors.ErrInvalidNetworkAddress},
		{addr: "127.0.0.1:0", text: "first path segment"},
		{addr: "tcp://", is: gneterrors.ErrInvalidNetworkAddress},
		{addr: "tcp://host/path", is: gneterrors.ErrInvalidNetworkAddress},
		{addr: "unix://", is: gneterrors.ErrInvalidNetworkAddress},
		{addr: "http://127.0.0.1:80", is: gneterrors.ErrUnsupportedProtocol},
		{addr: "tcp://" + taken.Addr().String(), is: unix.EADDRINUSE},
		{addr: "tcp://127.0.0.1:0", opts: []gnet.Option{gnet.WithLockOSThread(true), gnet.WithNumEventLoop(10_001)}, is: gneterrors.ErrTooManyEventLoopThreads},
		{addr: "tcp://127.0.0.1:0", opts: []gnet.Option{gnet.WithMulticastInterfaceIndex(1)}, text: "MulticastInterfaceIndex"},
		{addr: "tcp://127.0.0.1:0", opts: []gnet.Option{gnet.WithBindToDevice("nosuchdevice0")}, text: "BindToDevice"},
		{addr: "tcp://127.0.0.1:0", opts: []gnet.Option{gnet.WithTCPKeepAlive(time.Microsecond)}, text: "TCPKeepAlive"},
		{addr: "unix://" + file, text: "is not a socket"},
		{addr: "tcp://127.0.0.1:0", tls: noCert, text: "needs a certificate"},
		{addr: "udp://127.0.0.1:0", tls: noCert, text: "needs a tcp or a unix address"},
		{addr: "tcp://127.0.0.1:0", tls: noCert, opts: []gnet.Option{gnet.WithLockOSThread(true)}, text: "LockOSThread"},
	} {
		h, opts := &app{engine: make(chan gnet.Engine, 1), ids: map[gnet.Conn]int{}}, append(tt.opts, gnet.WithLogger(silent))
		var err error
		if tt.tls != nil {
			err = server.RunTLS(h, tt.addr, tt.tls, opts...)
		} else {
			err = server.Run(h, tt.addr, opts...)
		}
		if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%q: %v; want %v%s", tt.addr, err, tt.is, tt.text)
		}
		if tt.is != nil && tt.is != unix.EADDRINUSE {
			if err := gnet.Run(h, tt.addr, opts...); !errors.Is(err, tt.is) {
				t.Errorf("gnet itself, with %q: %v; want %v", tt.addr, err, tt.is)
			}
		}
		if h.of(-1) != "" {
			t.Errorf("%q: %s", tt.addr, h.of(-1))
		}
	}
	if err := server.RunTLS(&app{}, "tcp://127.0.0.1:0", nil); err == nil || !strings.Contains(err.Error(), "tls.Config") {
		t.Errorf("RunTLS without a configuration: %v", err)
	}
}

func TestGnetDeadlines(t *testing.T) {
	a := &app{traffic: echo, open: func(c gnet.Conn) ([]byte, gnet.Action) {
		c.SetReadDeadline(time.Now().Add(short))
		return nil, gnet.None
	}}
	a.traffic = func(c gnet.Conn) gnet.Action {
		if b, _ := c.Next(-1); b[0] == 'w' {
			c.SetReadDeadline(time.Time{})
			c.SetLinger(0)
			c.Write(make([]byte, 32<<20)) // more than sockets take
			c.SetWriteDeadline(time.Now().Add(short))
		}
		return gnet.None
	}
	r := start(t, onEsca(""), a, []string{"tcp"})
	mustEnd(t, r.dial(0)) // says nothing
	r.until(0, "open close:timeout")
	c := r.dial(0) // does not read
	mustWrite(t, c, "w")
	r.until(1, "open traffic close:timeout")
}

func TestGnetSchedule(t *testing.T) {
	loops := make(chan gnet.EventLoop, 1)
	r := start(t, onEsca(""), &app{open: func(c gnet.Conn) ([]byte, gnet.Action) { loops <- c.EventLoop(); return nil, gnet.None }}, []string{"unix"})
	r.dial(0)
	loop := got(t, "OnOpen", loops)
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	ran := make(chan string, 2)
	say := func(s string) gnet.Runnable {
		return gnet.RunnableFunc(func(context.Context) error { ran <- s; return nil })
	}
	loop.Schedule(canceled, say("canceled"), 0)
	began := time.Now()
	if err := loop.Schedule(t.Context(), say("due"), 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if s := got(t, "Schedule", ran); s != "due" || time.Since(began) < 20*time.Millisecond {
		t.Errorf("%s after %v", s, time.Since(began))
	}
	if err := loop.Schedule(t.Context(), nil, 0); !errors.Is(err, gneterrors.ErrNilRunnable) {
		t.Errorf("Schedule of nothing: %v", err)
	}
	r.stop()
	for name, err := range map[string]error{"Schedule": loop.Schedule(t.Context(), say(""), 0), "Execute": loop.Execute(t.Context(), say(""))} {
		if !errors.Is(err, gneterrors.ErrEngineInShutdown) {
			t.Errorf("%s after the end: %v", name, err)
		}
	}
}

// Handlers that block, on goroutines, neither stop others nor lose their order.
func TestGnetBlocking(t *testing.T) {
	for name, e := range map[string]engine{
		"goroutines": onEsca("", conn.WithDispatch(conn.DispatchGoroutine)),
		"watcher":    onEsca("", conn.WithSteals(true)),
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			a := &app{traffic: func(c gnet.Conn) gnet.Action {
				b, _ := c.Next(-1)
				if b[0] == 'b' {
					<-release
				}
				c.Write(b)
				return gnet.None
			}}
			r := start(t, e, a, []string{"tcp"})
			blocked, free := r.dial(0), r.dial(0)
			mustWrite(t, blocked, "b1")
			for range 5 {
				mustWrite(t, free, "free")
				mustRead(t, free, "free")
			}
			mustWrite(t, blocked, "b2")
			mustWrite(t, free, "free")
			mustRead(t, free, "free")
			close(release)
			mustRead(t, blocked, "b1b2")
		})
	}
}

func TestGnetTLS(t *testing.T) {
	cfg, client := serverTLS(t)
	cfg.ClientAuth = tls.RequireAnyClientCert
	client.Certificates = cfg.Certificates
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, opts := range [][]conn.Option{
			nil,
			{conn.WithDispatch(conn.DispatchGoroutine)},
			{conn.WithFactory(faultyWithoutResets(uint64(version)))},
		} {
			states := make(chan bool, 10)
			a := &app{traffic: echo, open: func(c gnet.Conn) ([]byte, gnet.Action) {
				s, ok := server.TLSState(c)
				states <- ok && s.HandshakeComplete && len(s.PeerCertificates) == 1
				return []byte("hello"), gnet.None
			}}
			e := engine{"esca", func(h gnet.EventHandler, addrs []string, o ...gnet.Option) error {
				return server.NewGnet(h, opts...).RunTLS(addrs[0], cfg, o...)
			}}
			r := start(t, e, a, []string{"tcp"})
			r.dial(0).Close() // without a handshake: nothing to tell
			mute := r.dial(0)
			client.MaxVersion = version
			var all sync.WaitGroup
			for seed := range uint64(4) {
				c := tls.Client(r.dial(0), client)
				mustRead(t, c, "hello")
				if !got(t, "OnOpen", states) {
					t.Error("OnOpen without a handshake")
				}
				all.Go(func() { exchange(t, c, seed) })
			}
			all.Wait()
			for i := range 4 {
				r.until(i, "open traffic close:eof")
			}
			r.stop() // it does not wait for the mute one's handshake
			mustEndSomehow(mute)
		}
	}
}

func faultyWithoutResets(seed uint64) *faulty.Factory {
	rates := faulty.DefaultRates()
	rates.Reset = 0
	return faulty.New(seed, poller.Direct, faulty.WithRates(rates))
}

// With resets as well: whatever arrives is in order, every connection is closed
// once, and every callback called.
func TestGnetFaults(t *testing.T) {
	for seed := range uint64(30) {
		a := &app{traffic: echo}
		var callbacks sync.WaitGroup
		a.open = func(c gnet.Conn) ([]byte, gnet.Action) {
			callbacks.Add(3)
			go func() {
				done := func(gnet.Conn, error) error { callbacks.Done(); return nil }
				c.AsyncWrite([]byte("12"), done)
				c.AsyncWritev([][]byte{[]byte("3"), []byte("4")}, done)
				c.Wake(done)
			}()
			return nil, gnet.None
		}
		r := start(t, onEsca("", conn.WithFactory(faulty.New(seed, poller.Direct))), a, []string{"unix"}, gnet.WithNumEventLoop(2))
		var all sync.WaitGroup
		for range 6 {
			c := r.dial(0)
			all.Go(func() {
				sent := letters(1 + rand.IntN(100_000))
				go func() { c.Write(sent); c.(*net.UnixConn).CloseWrite() }()
				got, _ := io.ReadAll(c)
				if why := wrongAmong(string(got), string(sent)); why != "" {
					t.Errorf("seed %d: %d bytes of %d: %s", seed, len(got), len(sent)+4, why)
				}
				c.Close()
			})
		}
		all.Wait()
		r.stop()
		callbacks.Wait()
		for i := range a.opened {
			if s := r.of(i); strings.Count(s, "open") != 1 || strings.Count(s, "close") != 1 || !strings.HasPrefix(s, "open") {
				t.Errorf("seed %d: events %q", seed, s)
			}
		}
	}
}

// wrongAmong says what is wrong with got, an echo of the letters sent with an
// AsyncWrite of "12" and an AsyncWritev of "3" and "4" somewhere in it: the echo in
// order, each write in one piece, in this order, and all of it cut short by a
// reset at the most. The echo may come between the two writes, since each is a task
// of its own on the event loop.
func wrongAmong(got, sent string) string {
	isDigit := func(r rune) bool { return '0' <= r && r <= '9' }
	only := func(digits bool) string {
		return strings.Map(func(r rune) rune {
			if isDigit(r) == digits {
				return r
			}
			return -1
		}, got)
	}
	async, echoed := only(true), only(false)
	switch {
	case !strings.HasPrefix("1234", async):
		return fmt.Sprintf("%.20q were written on another goroutine", async)
	case len(async)%2 == 1 && !strings.HasSuffix(got, async[len(async)-1:]):
		return "a write on another goroutine goes on after half of it"
	case len(async) >= 2 && !strings.Contains(got, "12"), len(async) == 4 && !strings.Contains(got, "34"):
		return "a write on another goroutine in two pieces"
	case !strings.HasPrefix(sent, echoed):
		return "the echo is not what was sent"
	}
	return ""
}

// letters are n of them, in an order that does not repeat.
func letters(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + rand.IntN(26))
	}
	return b
}

// What a Gnet tells of itself.
func TestGnetTells(t *testing.T) {
	a := &app{traffic: echo, engine: make(chan gnet.Engine, 1), ids: map[gnet.Conn]int{}}
	var log logLines
	g := server.NewGnet(a, conn.WithLoops(2))
	if g.CountConnections() != -1 || g.Stats().Loops != 0 {
		t.Error("a Gnet that does not run tells of connections")
	}
	for _, err := range []error{g.Stop(t.Context()), second(g.Dup()), second(g.Register(t.Context())), second(g.Addrs())} {
		if !errors.Is(err, gneterrors.ErrEmptyEngine) {
			t.Errorf("before Run: %v", err)
		}
	}
	file := filepath.Join(t.TempDir(), "s")
	addrs := []string{"tcp://127.0.0.1:0", "unix://" + file, "udp://127.0.0.1:0"}
	done := make(chan error, 1)
	go func() { done <- g.Rotate(addrs, gnet.WithLogger(&log)) }()
	eng := got(t, "OnBoot", a.engine)
	at, err := g.Addrs()
	if err != nil || len(at) != 3 || at[1].String() != file || at[2].Network() != "udp" {
		t.Fatalf("Addrs: %v, %v", at, err)
	}
	if s := log.String(); !strings.Contains(s, "tcp://127.0.0.1:0 | unix://"+file+" | udp://127.0.0.1:0") || !strings.Contains(s, "2 event-loops") {
		t.Errorf("the log says %q", s)
	}
	r := &onEngine{app: a, t: t, addr: []string{"tcp://" + at[0].String(), addrs[1]}}
	for i := range 2 {
		c := r.dial(i)
		mustWrite(t, c, "x")
		mustRead(t, c, "x")
	}
	if n, st := g.CountConnections(), g.Stats(); n != 2 || st.Open != 2 || st.Loops != 4 || st.Accepted == 0 {
		t.Errorf("%d connections, stats %+v", n, st)
	}
	if _, err := g.Dup(); !errors.Is(err, gneterrors.ErrUnsupportedOp) {
		t.Errorf("Dup of several: %v", err)
	}
	for _, l := range []struct {
		network, addr string
		is            error
	}{
		{"tcp", "127.0.0.1:0", nil}, {"unix", file, nil}, {"udp", "127.0.0.1:0", nil},
		{"tcp", "127.0.0.1:1", gneterrors.ErrInvalidNetworkAddress},
	} {
		fd, err := g.DupListener(l.network, l.addr)
		if !errors.Is(err, l.is) {
			t.Errorf("DupListener(%s, %s): %v, want %v", l.network, l.addr, err, l.is)
		}
		if err == nil {
			unix.Close(fd)
		}
	}
	res, err := g.Register(gnet.NewNetAddrContext(t.Context(), at[0])) // with itself
	if err != nil {
		t.Fatal(err)
	}
	if rr := got(t, "Register", res); rr.Err != nil {
		t.Fatal(rr.Err)
	}
	if err := server.Stop(t.Context(), addrs[1]); err != nil {
		t.Errorf("Stop by address: %v", err)
	}
	if err := got(t, "the end", done); err != nil {
		t.Error(err)
	}
	if err := server.Stop(t.Context(), addrs[0]); !errors.Is(err, gneterrors.ErrEngineInShutdown) {
		t.Errorf("Stop again: %v", err)
	}
	if err := eng.Validate(); !errors.Is(err, gneterrors.ErrEngineInShutdown) {
		t.Errorf("Validate after the end: %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// logLines is a logger that keeps what it is told.
type logLines struct {
	logging.Logger
	mu sync.Mutex
	s  strings.Builder
}

func (l *logLines) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(&l.s, format+"\n", args...)
}

func (l *logLines) Infof(format string, args ...any)  { l.add(format, args...) }
func (l *logLines) Debugf(format string, args ...any) {}
func (l *logLines) Warnf(format string, args ...any)  { l.add(format, args...) }
func (l *logLines) Errorf(format string, args ...any) { l.add(format, args...) }

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.s.String()
}
