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

// execute has the driver run f, which is user code. False: the loop has ended.
func (l *loop) execute(f func()) bool {
	return l.post(func() {
		l.outside(nil, func() {
			f()
			l.unlockThread()
		})
	})
}

// do is execute, and returns when f has run: at once, if the loop runs the caller.
func (l *loop) do(f func()) bool {
	if l.isCaller() {
		f()
		return true
	}
	ran := make(chan struct{})
	if !l.execute(func() { defer close(ran); f() }) {
		return false
	}
	<-ran
	return true
}

// isCaller reports whether the calling goroutine is one on which l runs user code.
func (l *loop) isCaller() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.phase == phaseUser && (l.driver == getg() || l.running != nil && l.running.isCaller())
}

// lostDriver runs as a driver's goroutine ends inside a handler: by
// runtime.Goexit, or by a panic that is about to end the process.
func (l *loop) lostDriver(me uint64, w *worker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w != nil {
		l.workers.lost(w)
		l.wake()
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
