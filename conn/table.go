//go:build linux && (amd64 || arm64)

package conn

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// table is what a loop has recorded since it last crossed: entries, whom each
// belongs to, and the arena with the bytes they send. A connection has at most
// one send in it, so that a short one cannot be overtaken by the next.
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

// add returns a fresh entry for c; the table is flushed first if fewer than
// room entries, or bytes of arena, are left. Not while inKernel.
func (l *Loop) add(c *Conn, room, bytes int) *poller.Entry {
	t := &l.table
	if t.n+room > len(t.entries) || t.used+bytes > len(t.arena) {
		l.flush()
	}
	e := &t.entries[t.n]
	t.owners[t.n] = c
	t.n++
	return e
}

// alloc takes n bytes of the arena; add has made sure that they are there.
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

// queueSend records that c sends p, which is copied. What c has recorded since
// the last crossing becomes one send.
func (l *Loop) queueSend(c *Conn, p []byte) {
	t := &l.table
	old := 0
	if c.entry >= 0 {
		old = int(t.entries[c.entry].Args[2])
	}
	if c.entry >= 0 && old+len(p) > len(t.arena)-t.used || len(p) > len(t.arena)-t.used {
		l.flush()
		if len(c.out) > 0 { // the kernel did not take it all
			c.out = append(c.out, p...)
			return
		}
	}
	if c.entry < 0 {
		e := l.add(c, 1, len(p))
		c.entry = int32(t.n - 1)
		buf := t.alloc(len(p))
		copy(unsafe.Slice((*byte)(buf), len(p)), p)
		e.Send(c.fd, buf, len(p), 0)
		return
	}
	e := &t.entries[c.entry]
	base := uintptr(unsafe.Pointer(&t.arena[0]))
	start := int(uintptr(e.Args[1]) - base)
	if start+old != t.used {
		// Another connection has written in between: move to the end.
		copy(t.arena[t.used:], t.arena[start:start+old])
		start = t.used
		t.used += old
		e.Args[1] = uint64(base + uintptr(start))
	}
	copy(t.arena[t.used:], p)
	t.used += len(p)
	e.Args[2] = uint64(old + len(p))
}

// takeBack removes what c has recorded to send and returns it: bytes of the
// arena, good until the next crossing, or the first of c's own. Not while inKernel.
func (l *Loop) takeBack(c *Conn) []byte {
	if c.entry < 0 {
		return nil
	}
	t := &l.table
	e := &t.entries[c.entry]
	var queued []byte
	if c.entryOwn {
		queued, c.entryOwn, c.flying = c.out[:e.Args[2]], false, nil
	} else {
		queued = t.arenaAt(e.Args[1], int(e.Args[2]))
	}
	e.NR, e.Flags = poller.Nop, 0
	t.owners[c.entry] = nil
	if int(c.entry) == t.n-1 {
		t.n--
	}
	c.entry = -1
	return queued
}

// flush crosses now, without waiting, and looks at the results. Not while inKernel.
func (l *Loop) flush() {
	if l.table.n > 0 {
		l.be.Run(l.table.n)
	}
	l.collect() // also of an empty one: what was taken back has left its bytes
}

// flushIfLate flushes when the tick has taken longer than queued writes may wait.
func (l *Loop) flushIfLate() {
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
func (l *Loop) collect() {
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
		case unix.SYS_CLOSE:
			c.closedFD(e)
		case unix.SYS_SHUTDOWN:
			c.shutDone(e)
		case unix.SYS_EPOLL_CTL:
			c.polled(e)
		}
	}
	t.used, t.since = 0, 0
}

// queuePoll records that c's registration changes: op ADD or MOD, to mask.
func (l *Loop) queuePoll(c *Conn, op int32, mask uint32) {
	const size = int(unsafe.Sizeof(unix.EpollEvent{}))
	e := l.add(c, 1, size+8)
	l.table.used = (l.table.used + 7) &^ 7
	ev := (*unix.EpollEvent)(l.table.alloc(size))
	ev.Events = mask
	poller.EventData(ev, c.fd, c.gen)
	e.EpollCtl(l.ep.FD, op, c.fd, ev)
}
