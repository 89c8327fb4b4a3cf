//go:build linux && (amd64 || arm64)

package conn

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// table is what a loop has recorded since it last crossed: entries, whom each
// belongs to, and the arena with the bytes they send. A connection has at most
// one send in it, so that a short one cannot be overtaken by the next. Nothing is
// added to it while the driver is away.
type table struct {
	entries []poller.Entry
	owners  []*Conn // whose entry it is; nil: nobody looks at the result
	n       int
	arena   []byte
	used    int   // of arena
	since   int64 // when the first entry since the last crossing was recorded; 0: not known yet
}

func (t *table) init(sh *poller.Shared) {
	t.entries, t.arena = sh.Entries, sh.Arena
	t.owners = make([]*Conn, len(t.entries))
}

// makeRoom flushes the table if fewer than entries, or bytes of arena, are left.
// Results may so be looked at: whoever is in the middle of something calls it first.
func (l *loop) makeRoom(entries, bytes int) {
	if t := &l.table; t.n+entries > len(t.entries) || !t.fits(bytes) {
		l.flush()
	}
}

// record returns a fresh entry for c. There is room for it (makeRoom).
func (l *loop) record(c *Conn) *poller.Entry {
	t := &l.table
	e := &t.entries[t.n]
	t.owners[t.n] = c
	t.n++
	return e
}

// alloc takes n bytes of the arena; there is room.
func (t *table) alloc(n int) unsafe.Pointer {
	p := unsafe.Pointer(&t.arena[t.used])
	t.used += n
	return p
}

// arenaAt returns the n bytes of the arena that an entry points to.
func (t *table) arenaAt(addr uint64, n int) []byte {
	start := int(uintptr(addr) - uintptr(unsafe.Pointer(&t.arena[0])))
	return t.arena[start : start+n]
}

// fits reports whether n bytes of the arena are left.
func (t *table) fits(n int) bool { return n <= len(t.arena)-t.used }

// recordSend records that c, which has no send in the table, sends p, which is
// copied.
func (l *loop) recordSend(c *Conn, p []byte) (entry int32) {
	t := &l.table
	e := l.record(c)
	buf := t.alloc(len(p))
	copy(unsafe.Slice((*byte)(buf), len(p)), p)
	e.Send(c.fd, buf, len(p), 0)
	return int32(t.n - 1)
}

// lengthenSend adds p to the send of arena bytes at entry; fitsBehind has said
// that it can.
func (t *table) lengthenSend(entry int32, p []byte) {
	e := &t.entries[entry]
	old := int(e.Args[2])
	base := uintptr(unsafe.Pointer(&t.arena[0]))
	if start := int(uintptr(e.Args[1]) - base); start+old != t.used {
		// Another connection has written in between: move to the end.
		copy(t.arena[t.used:], t.arena[start:start+old])
		e.Args[1] = uint64(base + uintptr(t.used))
		t.used += old
	}
	copy(t.arena[t.used:], p)
	t.used += len(p)
	e.Args[2] = uint64(old + len(p))
}

// fitsBehind reports whether n bytes more fit behind the send at entry, wherever
// that has to be moved to.
func (t *table) fitsBehind(entry int32, n int) bool {
	return t.fits(int(t.entries[entry].Args[2]) + n)
}

// unrecord removes an entry that was not run yet.
func (t *table) unrecord(entry int32) {
	e := &t.entries[entry]
	e.NR, e.Flags = poller.Nop, 0
	t.owners[entry] = nil
	if int(entry) == t.n-1 {
		t.n--
	}
}

// flush crosses now, and looks at the results. Not while the driver is away.
func (l *loop) flush() {
	if l.table.n > 0 {
		l.be.Run(l.table.n)
	}
	l.collect() // also of an empty one: what was taken back has left its bytes
}

// flushIfLate flushes when the tick has taken longer than queued writes may wait.
func (l *loop) flushIfLate() {
	t := &l.table
	if t.n == 0 {
		return
	}
	now := clockNow()
	if t.since == 0 {
		t.since = now
	} else if now-t.since > int64(l.group.opt.delay) {
		l.flush()
	}
}

// collect looks at the result of every entry that was run, and empties the table.
// What follows from a result is only marked: the table is being read.
func (l *loop) collect() {
	t := &l.table
	n := t.n
	t.n = 0
	for i := range n {
		c := t.owners[i]
		if c == nil {
			continue
		}
		t.owners[i] = nil
		switch e := &t.entries[i]; e.NR {
		case unix.SYS_SENDTO:
			c.sent(e)
		case unix.SYS_RECVFROM:
			c.greeted(e)
		case unix.SYS_CLOSE:
			c.closedFD(e)
		case unix.SYS_SHUTDOWN:
			c.dirty() // it can only fail on a connection that is gone already
		case unix.SYS_EPOLL_CTL:
			c.polled(e)
		}
	}
	l.packets.collect()
	t.used, t.since = 0, 0
}

// pollBytes is what recordPoll takes of the arena at most.
const pollBytes = int(unsafe.Sizeof(unix.EpollEvent{})) + 7

// recordPoll records that c's registration changes: op ADD or MOD, to mask.
func (l *loop) recordPoll(c *Conn, op int32, mask uint32) {
	l.table.used = (l.table.used + 7) &^ 7
	ev := (*unix.EpollEvent)(l.table.alloc(int(unsafe.Sizeof(unix.EpollEvent{}))))
	ev.Events = mask
	poller.EventData(ev, c.fd, c.gen)
	l.record(c).EpollCtl(l.ep.FD, op, c.fd, ev)
}
