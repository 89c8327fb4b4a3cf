//go:build linux

package faulty_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/poller/faulty"
)

// rough is far worse than the default, and never kills a connection.
var rough = faulty.Rates{
	ShortSend: 0.3, Again: 0.2, Interrupt: 0.1, NoBuffers: 0.1,
	ShortRecv: 0.3, Withhold: 0.3, Shuffle: 0.5,
}

// Two ends of several connections send each other a stream, both by the same
// loop, which does what any loop has to do and no more. Nothing may be lost,
// repeated or hang, whatever is injected.
func TestStreams(t *testing.T) {
	seeds := uint64(100)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			s := newStreams(t, faulty.New(seed, poller.Direct, faulty.WithRates(rough)))
			s.run()
			for _, e := range s.ends {
				if e.err != 0 {
					t.Errorf("descriptor %d: %v", e.fd, e.err)
				} else if e.in.String() != e.peer.out {
					t.Errorf("descriptor %d: %d bytes received are not the %d sent", e.fd, e.in.Len(), len(e.peer.out))
				}
			}
		})
	}
}

// With resets a stream may break off, at any point, but only for that.
func TestStreamsReset(t *testing.T) {
	broken, whole := 0, 0
	for seed := range uint64(50) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			rates := rough
			rates.Reset = 0.01
			s := newStreams(t, faulty.New(seed, poller.Direct, faulty.WithRates(rates)))
			s.run()
			for _, e := range s.ends {
				if !strings.HasPrefix(e.peer.out, e.in.String()) {
					t.Errorf("descriptor %d: what was received is not what was sent", e.fd)
				}
				if e.in.Len() == len(e.peer.out) {
					whole++
				} else if broken++; e.err == 0 && e.peer.err == 0 {
					t.Errorf("descriptor %d: %d of %d bytes, and no error", e.fd, e.in.Len(), len(e.peer.out))
				}
			}
		})
	}
	if broken == 0 || whole == 0 {
		t.Errorf("%d streams broken, %d whole: the test shows nothing", broken, whole)
	}
}

func TestSameSeedSameFaults(t *testing.T) {
	run := func(seed uint64) (log []string) {
		t.Run("run", func(t *testing.T) {
			f := faulty.New(seed, poller.Direct, faulty.WithRates(rough))
			newStreams(t, f).run()
			log = f.Log()
		})
		return log
	}
	first, second, other := run(7), run(7), run(8)
	if len(first) == 0 || !slices.Equal(first, second) {
		t.Errorf("the same seed: %d and %d faults, not the same", len(first), len(second))
	}
	if slices.Equal(first, other) {
		t.Error("another seed: the same faults")
	}
}

type end struct {
	fd      int32
	peer    *end
	out     string
	sent    int
	in      strings.Builder
	blocked bool // waits for EPOLLOUT
	armed   bool // and is registered for it
	done    bool // has sent everything and its end
	eof     bool
	err     unix.Errno
}

type streams struct {
	*loop
	ends []*end
	byFD map[int32]*end
	deal []func(ret int64) // for each entry, what its result means
}

func newStreams(t *testing.T, f *faulty.Factory) *streams {
	s := &streams{loop: openToPark(t, f), byFD: make(map[int32]*end)}
	for i := range 3 {
		a, b := s.pair()
		x, y := &end{fd: a}, &end{fd: b}
		x.peer, y.peer = y, x
		for j, e := range []*end{x, y} {
			e.out = strings.Repeat(fmt.Sprintf("%d-%d,", i, j), 3000) + "."
			if err := unix.SetsockoptInt(int(e.fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 4096); err != nil {
				t.Fatal(err)
			}
			s.watch(e.fd, poller.MaskIn)
			s.ends, s.byFD[e.fd] = append(s.ends, e), e
		}
	}
	return s
}

func (s *streams) run() {
	s.Helper()
	var late atomic.Bool
	timer := time.AfterFunc(20*time.Second, func() {
		late.Store(true)
		s.ep.Wake()
	})
	defer timer.Stop()
	for !s.finished() && !late.Load() {
		s.used, s.deal = 0, s.deal[:0]
		for _, e := range s.ends {
			s.record(e)
		}
		if len(s.deal) > 0 {
			s.tick()
			continue
		}
		// Only an event can help.
		if err := s.ep.Park(func() bool { return s.tick() > 0 || late.Load() }); err != nil {
			s.Fatal(err)
		}
	}
	if late.Load() {
		s.Fatal("it hangs")
	}
}

// tick runs what is recorded, and returns how many events there were.
func (s *streams) tick() int {
	s.Helper()
	n, err := s.b.Tick(len(s.deal))
	if err != nil {
		s.Fatal(err)
	}
	for i, f := range s.deal {
		f(s.sh.Entries[i].Ret)
	}
	for _, ev := range s.sh.Events[:n] {
		s.event(s.byFD[ev.FD], ev)
	}
	return n
}

func (s *streams) finished() bool {
	for _, e := range s.ends {
		if e.err == 0 && !(e.done && e.eof) {
			return false
		}
	}
	return true
}

// add records an entry by record and has its result given to deal.
func (s *streams) add(record func(*poller.Entry), deal func(int64)) *poller.Entry {
	e := &s.sh.Entries[len(s.deal)]
	record(e)
	s.deal = append(s.deal, deal)
	return e
}

func (s *streams) record(e *end) {
	if e.blocked && !e.armed {
		ev := (*unix.EpollEvent)(s.mem(strings.Repeat("\x00", 16)))
		ev.Events = poller.MaskInOut
		poller.EventData(ev, e.fd, 1)
		s.add(func(en *poller.Entry) { en.EpollCtl(s.ep.FD, unix.EPOLL_CTL_MOD, e.fd, ev) },
			func(ret int64) { e.armed = ret == 0 })
	}
	if e.blocked || e.done || e.err != 0 {
		return
	}
	part := e.out[e.sent:min(e.sent+5000, len(e.out))]
	last := e.sent+len(part) == len(e.out)
	entry := s.add(func(en *poller.Entry) { en.Send(e.fd, s.mem(part), len(part), 0) }, func(ret int64) {
		e.sent += int(max(ret, 0))
		e.blocked = ret == -int64(unix.EAGAIN) || ret == -int64(unix.ENOBUFS) || ret >= 0 && ret < int64(len(part))
		if ret < 0 && !e.blocked && ret != -int64(unix.EINTR) {
			e.err = unix.Errno(-ret)
		}
	})
	if last {
		entry.Flags = poller.Link
		s.add(func(en *poller.Entry) { en.Shutdown(e.fd, unix.SHUT_WR) }, func(ret int64) { e.done = ret == 0 })
	}
}

func (s *streams) event(e *end, ev poller.Event) {
	if ev.Mask&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		e.blocked = false
	}
	if ev.Err != 0 {
		e.err = unix.Errno(ev.Err)
	}
	e.eof = e.eof || ev.EOF == 1
	if ev.Slot < 0 {
		return
	}
	e.in.Write(s.sh.Slot(ev.Slot)[:ev.N])
	s.sh.FreeSlot(ev.Slot)
	if int(ev.N) < s.sh.SlotSize && ev.Mask&unix.EPOLLRDHUP == 0 {
		return // there will be an event if there is more
	}
	buf := s.sh.Arena[len(s.sh.Arena)-1000:]
	for en := new(poller.Entry); ; {
		en.Recv(e.fd, unsafe.Pointer(&buf[0]), len(buf))
		switch errno := s.call(en); {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			return
		case errno != 0:
			e.err = errno
			return
		case en.Ret == 0:
			e.eof = true
			return
		default:
			e.in.Write(buf[:en.Ret])
		}
	}
}
