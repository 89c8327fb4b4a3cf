//go:build linux && (amd64 || arm64)

package conn

// outside runs f, which is or calls user code, without the lock, and reports
// whether the driver still has the loop after it. w is the worker whose code it
// is, nil for a hook.
func (l *loop) outside(w *worker, f func()) bool {
	me := l.gen
	l.phase, l.running = phaseUser, w
	l.userSeq++
	if l.group.watcher.asleep.Load() {
		l.group.watcher.wake()
	}
	l.mu.Unlock()
	returned := false
	defer func() {
		if !returned {
			// On a goroutine of its own: a panic may have come with the lock held.
			go l.lostDriver(me, w)
		}
	}()
	f()
	returned = true
	l.mu.Lock()
	if l.gen != me {
		return false
	}
	l.phase, l.running = phaseAwake, nil
	return true
}

// lostDriver runs as a driver's goroutine ends inside a handler: by
// runtime.Goexit, or by a panic that is about to end the process.
func (l *loop) lostDriver(me uint64, w *worker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w != nil {
		l.workers.lost(w)
	}
	if l.gen == me {
		l.newDriver()
	}
}

// newDriver gives the loop to a new driver.
func (l *loop) newDriver() {
	l.phase, l.running = phaseAwake, nil
	l.gen++
	go l.drive(l.gen)
}

// steal takes the loop from a driver that is inside user code.
func (l *loop) steal() {
	if w := l.running; w != nil {
		w.leftBehind = true
		l.policy.blocked(w.c)
		w.c.hold()
		w.c.copyOut()
		w.c.watch()
	}
	l.stats.steals++
	l.newDriver()
}
