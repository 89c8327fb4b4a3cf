//go:build linux && (amd64 || arm64)

package conn_test

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// tables notes the sends of a loop's tables, each with what is chained to it, and the closes.
type tables struct {
	poller.Factory
	mu     sync.Mutex
	sends  []sendBefore
	closes [][6]uint64 // their arguments
}

// sendBefore is a send: whether it was said to have more behind it, and whether the end
// of the stream and a close are chained to it.
type sendBefore struct{ more, end, close bool }

type tablesBackend struct {
	poller.Backend
	sh   *poller.Shared
	seen *tables
}

func (f *tables) Open(ep *poller.Epoll, sh *poller.Shared) (poller.Backend, error) {
	be, err := f.Factory.Open(ep, sh)
	return tablesBackend{be, sh, f}, err
}

func (b tablesBackend) Run(n int) {
	b.note(n)
	b.Backend.Run(n)
}

func (b tablesBackend) Tick(n int) (int, error) {
	b.note(n)
	return b.Backend.Tick(n)
}

func (b tablesBackend) note(n int) {
	b.seen.mu.Lock()
	defer b.seen.mu.Unlock()
	for i, e := range b.sh.Entries[:n] {
		switch e.NR {
		case unix.SYS_CLOSE:
			b.seen.closes = append(b.seen.closes, e.Args)
		case unix.SYS_SENDTO:
			s := sendBefore{more: e.Args[3]&unix.MSG_MORE != 0}
			for k := i; b.sh.Entries[k].Flags&poller.Link != 0 && k+1 < n; k++ {
				s.end = s.end || b.sh.Entries[k+1].NR == unix.SYS_SHUTDOWN
				s.close = s.close || b.sh.Entries[k+1].NR == unix.SYS_CLOSE
			}
			b.seen.sends = append(b.seen.sends, s)
		}
	}
}
