//go:build linux && (amd64 || arm64)

package conn

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/escahttp/esca/poller"
)

// group is the loops of a Listener, and what they share.
type group struct {
	opt     options
	factory poller.Factory
	why     string // which backend, and why not another
	loops   []*loop
	watcher *watcher
	handler Handler // nil: connections go to Accept

	uses   atomic.Int32 // dialled connections, and those about to be
	unused *time.Timer  // ends the group when it has no uses; nil: it is a Listener's

	running atomic.Int32 // loops that are not yet cleaned up
	closing bool
	closeMu sync.Mutex
	turn    atomic.Uint32 // of nextLoop
}

func newGroup(opt options) (*group, error) {
	if err := opt.linux.check(); err != nil {
		return nil, err
	}
	f, why, err := opt.chooseFactory()
	if err != nil {
		return nil, err
	}
	g := &group{opt: opt, factory: f, why: why}
	for i := range opt.loops {
		l, err := newLoop(g)
		if err != nil {
			for _, l := range g.loops {
				l.release()
			}
			return nil, err
		}
		l.index, l.workers.lockWord = i, lockWord()
		g.loops = append(g.loops, l)
	}
	if g.opt.steals {
		g.watcher = newWatcher(g.loops)
	} else {
		g.watcher = newWatcher(nil)
	}
	return g, nil
}

// nextLoop takes loops in turn.
func (g *group) nextLoop() *loop { return g.loops[int(g.turn.Add(1)-1)%len(g.loops)] }

// loopFor is the loop with that index; below zero, that which a connection from
// peer would be placed on.
func (g *group) loopFor(index int, peer sockaddr) *loop {
	if index < 0 {
		return g.nextLoop().choose(peer)
	}
	return g.loops[index]
}

// start has the loops turn.
func (g *group) start() {
	g.running.Store(int32(len(g.loops)))
	for _, l := range g.loops {
		l.mu.Lock()
		l.newDriver()
		l.mu.Unlock()
	}
	if g.opt.steals {
		go g.watcher.watch()
	}
}

// close has each loop end when its last connection has.
func (g *group) close() {
	g.closeMu.Lock()
	defer g.closeMu.Unlock()
	if g.closing {
		return
	}
	g.closing = true
	for _, l := range g.loops {
		l.post(func() {
			l.stopListening()
			l.closing = true
		})
	}
}

// cleanUp ends a closing loop once its last connection is gone. It reports
// whether that is so.
func (l *loop) cleanUp() bool {
	l.workers.endAll()
	if l.open > l.guests || l.workers.all > 0 || len(l.posted) > 0 || !l.closeHandover() {
		return false
	}
	if l.guests == 0 {
		l.alarm.timer.Stop()
		l.release()
	}
	if !l.isServed() {
		close(l.served)
	}
	if l.guests > 0 {
		return false
	}
	close(l.done)
	if l.group.running.Add(-1) == 0 {
		close(l.group.watcher.quit)
	}
	return true
}

// release closes what the loop holds of the kernel.
func (l *loop) release() {
	l.be.Close()
	l.ep.Close()
	l.sh.Unmap()
	l.packets.unmap()
}
