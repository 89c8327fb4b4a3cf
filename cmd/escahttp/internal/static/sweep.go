package static

import (
	"sync"
	"time"
)

// sweeper wakes while descriptors are open that are not small copies in memory: of
// files, of large copies, and of the root. A file that was removed or replaced is let go of at the
// next round, and with it its space; what nobody has asked for in a while is
// closed, so that its file system can be unmounted.
type sweeper struct {
	timerMu sync.Mutex
	timer   *time.Timer // nil: nothing is open
	ended   bool
}

// sweepsPerIdle is how often a descriptor is looked at before it counts as idle.
const sweepsPerIdle = 5

// watch has the next round come, if none is to come already.
func (c *files) watch() {
	c.timerMu.Lock()
	defer c.timerMu.Unlock()
	if c.timer == nil && !c.ended {
		c.timer = time.AfterFunc(c.o.Idle/sweepsPerIdle, c.sweep)
	}
}

func (c *files) sweep() {
	c.timerMu.Lock()
	c.timer = nil // what is opened from here on has the next round come
	c.timerMu.Unlock()
	since := time.Now().Add(-c.o.Idle)
	left := false
	for name, v := range c.opened() {
		var s stamp
		if v.used.Load() < since.UnixNano() || v.itself() && (v.file.stat(&s) != nil || !s.same(&v.stamp)) {
			c.drop(name, v)
		} else {
			left = true
		}
		v.letGo()
	}
	if closed := c.root.rest(since); left || !closed {
		c.watch()
	}
}

// opened returns the versions that are fleeting, held.
func (c *files) opened() map[string]*Version {
	c.mu.RLock()
	defer c.mu.RUnlock()
	some := make(map[string]*Version)
	for name, v := range c.known {
		if v.fleeting() && v.hold() {
			some[name] = v
		}
	}
	return some
}

func (c *files) stop() {
	c.timerMu.Lock()
	defer c.timerMu.Unlock()
	if c.ended = true; c.timer != nil {
		c.timer.Stop()
	}
}
