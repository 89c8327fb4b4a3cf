//go:build linux && (amd64 || arm64)

package conn

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// A process whose connections have taken all descriptors can open no file and dial nobody
// for the clients that it has. So accepting pauses while few are left, if it is connections
// that have taken them: at least half of what the process may open. Others' descriptors are
// no reason to keep clients waiting.
//
// The kernel gives the lowest number that is free. If that is high, few can be left. If it
// is low that says nothing of the others: who has begun to ask goes on until there are few
// connections.

// reserveOf is how many descriptors are kept of so many.
func reserveOf(files int) int { return min(files/8, 32) }

// filesAllowed is how many descriptors the process may have.
func filesAllowed() int {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil || lim.Cur > 1<<30 {
		return 1 << 30
	}
	return int(lim.Cur)
}

// near reports whether fd, which has just been given out, is less than more away from the
// reserve. The limit may have been raised since it was last looked at.
func (a *accepts) near(fd int32, more int) bool {
	is := func() bool { return int(fd) >= a.files-reserveOf(a.files)-more }
	if is() {
		a.files = filesAllowed()
	}
	return is()
}

// spare has l ask before it accepts, or not: the harvest, which does not ask, accepts as
// many as a slot takes.
func (l *loop) spare(fd int32) {
	a := &l.accepts
	was := a.sparing
	a.sparing = a.near(fd, l.sh.SlotSize/poller.AcceptedSize) || was && l.crowded()
	if a.ln.handler == nil || was == a.sparing {
		return
	}
	kind := poller.HarvestAccept
	if a.sparing {
		kind = poller.HarvestNothing
	}
	l.sh.SetInterest(a.fd, a.gen, kind)
}

// crowded reports whether it is connections that have the descriptors.
func (l *loop) crowded() bool {
	open := 0
	for _, o := range l.group.loops {
		open += int(o.load.Load())
	}
	return open >= l.accepts.files/2
}

// reserved is why l may not accept now, as few descriptors are left; nil: it may.
func (l *loop) reserved() error {
	a := &l.accepts
	if !l.crowded() {
		return nil
	}
	fd, err := unix.FcntlInt(uintptr(a.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil // the accept will say why
	}
	unix.Close(fd)
	if !a.near(int32(fd), 0) {
		return nil
	}
	return fmt.Errorf("the last %d descriptors of %d are kept for files and calls of handlers", reserveOf(a.files), a.files)
}
