//go:build linux && (amd64 || arm64)

package conn_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
)

// What one connection, or one loop, does is not to be felt by its neighbours: by
// other connections, nor by other goroutines of the process.

// neverIdle has a loop find something at each look, or at each second one, before
// which it lets the other threads run: one event, or as many as it says. It counts the looks,
// and the tables that are run without one.
type neverIdle struct {
	poller.Factory
	each  int64
	looks *atomic.Int64
	found int
	runs  *atomic.Int64
}

type neverIdleBackend struct {
	poller.Backend
	ep *poller.Epoll
	sh *poller.Shared
	neverIdle
}

func (f neverIdle) Open(ep *poller.Epoll, sh *poller.Shared) (poller.Backend, error) {
	be, err := f.Factory.Open(ep, sh)
	return neverIdleBackend{be, ep, sh, f}, err
}

func (b neverIdleBackend) Tick(n int) (int, error) {
	look := b.looks.Add(1)
	m, err := b.Backend.Tick(n)
	if m == 0 && look%b.each == 0 {
		m = max(b.found, 1)
		for i := range m {
			b.sh.Events[i] = poller.Event{FD: 1 << 20, Mask: unix.EPOLLIN, Slot: -1} // nobody's
		}
	} else {
		b.ep.Wake() // it is to go on, should it park
	}
	return m, err
}

func (b neverIdleBackend) Run(n int) {
	if b.runs != nil {
		b.runs.Add(1)
	}
	b.Backend.Run(n)
}

// A loop that always finds something, but little, lets other threads run now and then;
// one whose ticks are full does not.
func TestBusyLoopYields(t *testing.T) {
	for _, c := range []struct {
		name   string
		found  int
		yields bool
	}{
		{"an event a tick", 1, true},
		{"ten events a tick", 10, true},
		{"many events a tick", 60, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var looks atomic.Int64
			ln := served(t, serveFunc{serve: func(*conn.Conn) {}}, conn.WithLoops(1),
				conn.WithFactory(neverIdle{Factory: poller.Direct, each: 1, looks: &looks, found: c.found}))
			for begun := looks.Load(); looks.Load() < begun+1000; {
				runtime.Gosched()
			}
			if n := ln.Stats().ByCall[poller.CallOther]; (n > 0) != c.yields {
				t.Errorf("%d other calls after 1000 looks, want some: %t", n, c.yields)
			}
		})
	}
}

// What the table has brought before other threads ran is there when it is looked at, of
// every backend: answers are whole, and connections that were closed are gone.
func TestBusyLoopKeepsResults(t *testing.T) {
	for _, f := range backends(t) {
		t.Run(f.Name(), func(t *testing.T) {
			var runs atomic.Int64
			ln := served(t, serveFunc{serve: echoOnce}, conn.WithLoops(1), conn.WithWriteDelay(time.Minute), // no table is run for being late
				conn.WithFactory(neverIdle{Factory: f, each: 1, looks: new(atomic.Int64), runs: &runs}))
			var wg sync.WaitGroup
			for i := range 16 {
				wg.Go(func() {
					for range 10 {
						c, err := net.Dial("tcp", ln.Addr().String())
						if err != nil {
							t.Error(err)
							return
						}
						c.SetDeadline(time.Now().Add(time.Minute))
						for k := range 50 {
							want := fmt.Sprintf("%03d %d", k, i)
							got := make([]byte, len(want))
							c.Write([]byte(want))
							if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
								t.Errorf("client %d: %q, %v, want %q", i, got, err, want)
								break
							}
						}
						c.Close()
					}
				})
			}
			wg.Wait()
			for ln.Stats().Open > 0 {
				runtime.Gosched()
			}
			if runs.Load() == 0 {
				t.Error("no table was run before others")
			}
		})
	}
}

// A loop that always finds something lets others run after a bounded number of
// events: also those that wait for Go's netpoller, which sysmon, if nobody else,
// looks at every ten milliseconds.
func TestBusyLoopGivesWay(t *testing.T) {
	const most = 1000 // looks; in ten milliseconds there are some thousands
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	sfMust(t, err)
	defer tcp.Close()
	near, err := net.Dial("tcp", tcp.Addr().String())
	sfMust(t, err)
	defer near.Close()
	far, err := tcp.Accept()
	sfMust(t, err)
	defer far.Close()

	for _, each := range []int64{1, 2} {
		t.Run(fmt.Sprint(each), func(t *testing.T) {
			var looks atomic.Int64
			served(t, serveFunc{serve: func(*conn.Conn) {}}, conn.WithLoops(1), conn.WithFactory(neverIdle{Factory: poller.Direct, each: each, looks: &looks}))
			for _, tt := range []struct {
				name string
				do   func(ran chan<- int64)
			}{
				{"a goroutine that is runnable", func(ran chan<- int64) {
					runtime.Gosched()
					ran <- looks.Load()
				}},
				{"a goroutine whose descriptor is ready", func(ran chan<- int64) {
					go func() {
						io.ReadFull(far, make([]byte, 1))
						ran <- looks.Load()
					}()
					near.Write([]byte("x"))
				}},
			} {
				t.Run(tt.name, func(t *testing.T) {
					ran := make(chan int64, 1)
					var after []int64
					for range 21 {
						for idle := looks.Load(); looks.Load() == idle; { // until the loop has had its turn
							runtime.Gosched()
						}
						before := looks.Load()
						tt.do(ran)
						after = append(after, sfWait(t, tt.name, ran)-before)
					}
					slices.Sort(after)
					if n := after[len(after)-3]; n > most { // of two, the kernel may have put off the byte
						t.Errorf("it has run after %d looks of the loop, want %d at most: %d", n, most, after)
					}
				})
			}
		})
	}
}

// slowDisk has every sendfile wait until it is let go.
type slowDisk struct {
	poller.Factory
	reading chan<- struct{}
	letGo   <-chan struct{}
}

type slowDiskBackend struct {
	poller.Backend
	sh *poller.Shared
	slowDisk
}

func (f slowDisk) Open(ep *poller.Epoll, sh *poller.Shared) (poller.Backend, error) {
	be, err := f.Factory.Open(ep, sh)
	return slowDiskBackend{be, sh, f}, err
}

func (b slowDiskBackend) read(entries ...poller.Entry) {
	for i := range entries {
		if entries[i].NR == unix.SYS_SENDFILE {
			b.reading <- struct{}{}
			<-b.letGo
		}
	}
}

func (b slowDiskBackend) Tick(n int) (int, error) {
	b.read(b.sh.Entries[:n]...)
	return b.Backend.Tick(n)
}

func (b slowDiskBackend) Run(n int) {
	b.read(b.sh.Entries[:n]...)
	b.Backend.Run(n)
}

func (b slowDiskBackend) Call(e *poller.Entry) {
	b.read(*e)
	b.Backend.Call(e)
}

// A file on a disk that takes for ever delays nobody but who asked for it.
func TestSlowDisk(t *testing.T) {
	for _, backend := range backends(t) {
		for _, header := range []string{"", "header"} {
			t.Run(backend.Name()+"/"+header, func(t *testing.T) {
				file := make([]byte, 40_000)
				for i := range file {
					file[i] = byte(i >> 8)
				}
				reading, letGo := make(chan struct{}, 99), make(chan struct{})
				ln := served(t, serveFunc{serve: func(c *conn.Conn) {
					var b [16]byte
					switch _, err := c.Read(b[:]); {
					case err != nil:
						c.Close()
					case b[0] == 'p':
						c.Write([]byte("p"))
					default:
						f := sfFile(t, file)
						defer f.Close()
						c.Write([]byte(header))
						c.ReadFrom(f)
					}
				}}, conn.WithLoops(1), conn.WithFactory(slowDisk{backend, reading, letGo}))
				neighbour, asking := dialed(t, ln), dialed(t, ln)
				ping := func() {
					neighbour.Write([]byte("p"))
					if _, err := io.ReadFull(neighbour, make([]byte, 1)); err != nil {
						t.Fatalf("the neighbour: %v: %s", err, ln.Dump())
					}
				}
				ping()
				asking.Write([]byte("f"))
				sfWait(t, "the disk to be read", reading)
				for range 20 {
					ping()
				}
				close(letGo)
				want := append([]byte(header), file...)
				got := make([]byte, len(want))
				if _, err := io.ReadFull(asking, got); err != nil {
					t.Fatal(err)
				}
				sfSame(t, "the file", got, want)
			})
		}
	}
}

// backends returns those that work here, of which direct is always one.
func backends(t *testing.T) (fs []poller.Factory) {
	for _, p := range poller.Probes() {
		if p.Status != poller.Available {
			t.Log(p)
			continue
		}
		f, _, err := poller.Choose(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		fs = append(fs, f)
	}
	return fs
}

// A client that sends without end does not keep its neighbours waiting, even where
// nobody takes the loop from it.
func TestOneThatNeverStops(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve func(c *conn.Conn, b []byte) (int, error)
	}{
		{"one burst", func(c *conn.Conn, b []byte) (n int, err error) {
			for err == nil && b[0] != 'p' {
				sha256.Sum256(b) // so that the client keeps ahead
				n, err = c.Read(b)
			}
			return n, err
		}},
		{"a burst a read", func(c *conn.Conn, b []byte) (int, error) {
			sha256.Sum256(b)
			return 0, nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln := served(t, serveFunc{serve: func(c *conn.Conn) {
				b := make([]byte, 4096)
				_, err := c.Read(b)
				if err == nil && b[0] != 'p' {
					_, err = tt.serve(c, b)
				}
				if err == nil && b[0] == 'p' {
					c.Write(b[:1])
				}
				if err != nil {
					c.Close()
				}
			}}, conn.WithLoops(1), conn.WithSteals(false), conn.WithDispatch(conn.DispatchInline))
			endless, neighbour := dialed(t, ln), dialed(t, ln)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				b := make([]byte, 64<<10)
				for {
					if _, err := endless.Write(b); err != nil {
						return
					}
				}
			}()
			for range 50 {
				neighbour.Write([]byte("p"))
				if _, err := io.ReadFull(neighbour, make([]byte, 1)); err != nil {
					t.Fatalf("the neighbour: %v: %s", err, ln.Dump())
				}
			}
			endless.Close()
			sfWait(t, "the client", ended)
		})
	}
}
