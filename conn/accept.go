//go:build linux && (amd64 || arm64)

package conn

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// acceptPause is how long accepting rests after the process, or the kernel, has
// run out of something: descriptors, memory.
const acceptPause = 50 * time.Millisecond

// accepts is the listening socket of a loop.
type accepts struct {
	ln      *Listener
	fd      int32 // -1: none, or not yet
	gen     uint32
	again   bool    // the kernel's queue was not emptied, and may be now
	full    bool    // it was not, as nobody fetches what was accepted: Listener.fetch has it go on
	retryAt int64   // when to try again after a pause; 0: not paused
	files   int     // descriptors that the process may have
	sparing bool    // it may soon have few left: see reserve.go
	fresh   []*Conn // accepted, Handler.Open not yet called
	logged  int64   // when a pause was last reported

	// Of acceptSome: the kernel writes here, and a stack may move.
	rec   poller.Accepted
	ready poller.Readiness
}

// listen has l accept from fd, which it owns from now on.
func (l *loop) listen(ln *Listener, fd int32) error {
	l.gens = (l.gens + 1) & poller.GenMask
	a := &l.accepts
	a.ln, a.fd, a.gen, a.files = ln, fd, l.gens, filesAllowed()
	if ln.handler != nil {
		l.sh.SetInterest(fd, a.gen, poller.HarvestAccept)
	}
	if lg, err := unix.GetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER); err != nil || lg.Onoff != 0 {
		ln.lingers.Store(true)
	}
	l.spare(fd)
	// Exclusive, as loops may share one socket: a connection wakes one of them.
	return l.ep.Add(fd, a.gen, unix.EPOLLIN|unix.EPOLLET|unix.EPOLLEXCLUSIVE)
}

// accepted takes in what the harvest has accepted.
func (l *loop) accepted(ev *poller.Event) {
	a := &l.accepts
	n := ev.N
	if ev.Slot >= 0 {
		most := int32(0)
		for _, r := range l.sh.AcceptedIn(ev.Slot, n) {
			most = max(most, r.FD)
			l.place(arrival{r.FD, sockaddrOf(&r), a.ln})
		}
		l.sh.FreeSlot(ev.Slot)
		l.spare(most)
	}
	a.again = ev.Err == 0 && (ev.Slot < 0 || int(n) == l.sh.SlotSize/poller.AcceptedSize)
	if ev.Err != 0 {
		l.pauseAccepting(unix.Errno(ev.Err))
	}
}

// acceptMore goes on where the harvest stopped.
func (l *loop) acceptMore(me uint64) bool {
	a := &l.accepts
	if a.retryAt != 0 && a.retryAt <= clockNow() {
		a.retryAt, a.again = 0, true
	}
	if a.again && a.retryAt == 0 && a.fd >= 0 {
		l.acceptSome(128, true)
	}
	return l.openFresh(me)
}

// acceptSome accepts up to most connections by direct calls; keep: but for those whose
// descriptors are in the reserve.
func (l *loop) acceptSome(most int, keep bool) {
	a := &l.accepts
	a.again = false
	f := l.getFrame(nil)
	defer l.putFrame(f)
	r := &a.rec
	for range most {
		if keep && a.sparing {
			if err := l.reserved(); err != nil {
				l.pauseAccepting(err)
				return
			}
		}
		if a.ln.handler == nil && !a.ln.reserve() {
			a.full = true
			a.ln.queue.full.Store(true)
			if a.ln.queue.mayGoOn() { // most were fetched meanwhile
				go a.ln.goOn() // it takes the locks of all loops
			}
			return
		}
		f.Accept(a.fd, r)
		switch errno := unix.Errno(max(-l.call(f), 0)); errno {
		case 0:
			r.FD = int32(f.Ret)
			l.place(arrival{r.FD, sockaddrOf(r), a.ln})
			l.spare(r.FD)
			if f.Poll(&a.ready, a.fd); l.call(f) == 0 { // cheaper than an accept4 that finds nobody
				return
			}
			continue
		case unix.EAGAIN:
		case unix.EINTR, unix.ECONNABORTED:
			a.ln.unreserve()
			continue
		default:
			l.pauseAccepting(errno)
		}
		a.ln.unreserve()
		return
	}
	a.again = true
}

// pauseAccepting rests, and says so once a minute.
func (l *loop) pauseAccepting(why error) {
	a := &l.accepts
	now := clockNow()
	a.again, a.retryAt = false, now+int64(acceptPause)
	if a.logged == 0 || now-a.logged > int64(time.Minute) {
		a.logged = now
		l.logf("accepting on %s pauses: %v (%d connections are open here; raise the limit of open files, or lower the number of connections)",
			a.ln.addr, why, l.open)
	}
}

// welcome makes an accepted descriptor a connection of l.
func (l *loop) welcome(a arrival) {
	c := l.register(a.fd, a.peer, &a.ln.origin, a.ln.handler != nil)
	c.end.prompt = !a.ln.lingers.Load()
	l.stats.accepted++
	if c.burst.served {
		l.toOpen(c)
	} else {
		a.ln.deliver(c)
	}
}

// toOpen has Handler.Open called for c.
func (l *loop) toOpen(c *Conn) {
	c.burst.opening = true
	l.accepts.fresh = append(l.accepts.fresh, c)
}

// openFresh calls Handler.Open for each new connection.
func (l *loop) openFresh(me uint64) bool {
	a := &l.accepts
	for len(a.fresh) > 0 {
		c := a.fresh[0]
		a.fresh = a.fresh[1:]
		on := l.outside(nil, func() {
			l.group.handler.Open(BurstOf(c))
			l.unlockThread() // the driver must stay free to change threads
		})
		c.burst.opening = false
		switch {
		case c.end.state != endOpen:
		case !c.burst.served || c.in.state != inFlowing || l.away():
			c.watch()
		default:
			c.greet()
		}
		if c.end.state == endOpen {
			if c.wantsServing() && c.burst.served {
				c.serveNextTurn()
			} else {
				c.arm()
			}
		}
		if !on {
			return false
		}
	}
	a.fresh = nil
	return l.gen == me
}

// stopListening closes the socket. A Handler gets what waits in its queue, whose
// connections the close would reset; nobody calls Accept any more.
func (l *loop) stopListening() {
	a := &l.accepts
	if a.fd < 0 {
		return
	}
	// Not the other way round: of a socket that another process accepts from as well, a
	// connection that came in between would have woken us alone, in vain.
	l.ep.Remove(a.fd)
	if a.ln.handler != nil {
		l.acceptSome(1<<20, false)
	}
	unix.Close(int(a.fd))
	a.fd, a.again, a.retryAt = -1, false, 0
}
