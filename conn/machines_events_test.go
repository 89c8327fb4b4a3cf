//go:build linux && (amd64 || arm64)

package conn

import (
	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// event is something that can happen. It reports whether it can, at present; if it
// cannot, it changes nothing.
type event struct {
	name string
	do   func(w *world) bool
}

func events() (evs []event) {
	add := func(name string, do func(w *world) bool) { evs = append(evs, event{name, do}) }
	write := func(w *world) []byte {
		w.writes++
		p := []byte{byte(2 * w.writes), byte(2*w.writes + 1)}
		w.wrote = append(w.wrote, p...)
		return p
	}
	writable := func(w *world) bool {
		return !w.c.writeLate() && w.c.writable() == nil && !w.c.out.locked && w.writes < w.most
	}
	add("write behind the deadline", func(w *world) bool {
		if !w.c.writeLate() || w.c.out.told {
			return false
		}
		w.c.writable()
		return w.c.out.told
	})
	add("write", func(w *world) bool {
		if !writable(w) {
			return false
		}
		if w.l.away() && w.c.out.state == outEmpty {
			return false // sent directly, below
		}
		w.c.append(write(w))
		return true
	})
	for f := range fates {
		add("flush/"+f.String(), func(w *world) bool {
			w.fate = f
			if w.l.away() || w.l.table.n == 0 {
				return false
			}
			w.l.flush()
			return true
		})
		add("direct write/"+f.String(), func(w *world) bool {
			w.fate = f
			if !writable(w) || !w.l.away() || w.c.out.state != outEmpty {
				return false
			}
			before := len(w.wrote)
			if _, err := w.c.sendNow(write(w)); err != nil {
				w.wrote = w.wrote[:before] // it was said not to be
			}
			return true
		})
		add("transfer under the writer's lock/"+f.String(), func(w *world) bool {
			w.fate = f
			if !w.c.out.locked || w.c.out.state != outEmpty || w.c.end.state != endOpen || w.c.writeLate() || w.writes >= w.most {
				return false
			}
			before := len(w.wrote)
			p := write(w)
			n, _ := w.c.send(p)
			w.wrote = append(w.wrote[:before], p[:n]...)
			return true
		})
		add("header of a file/"+f.String(), func(w *world) bool {
			w.fate = f
			if !w.c.out.locked || w.c.out.state != outQueued || w.l.away() || w.c.end.state != endOpen {
				return false
			}
			w.c.sendPart(w.l.getFrame(nil), &transfer{most: 1})
			return true
		})
		add("the kernel is done/"+f.String(), func(w *world) bool {
			w.fate = f
			if w.l.phase != phaseCrossing {
				return false
			}
			w.backend().Run(w.l.table.n)
			w.l.phase = phaseAwake
			w.l.afterTick(0, nil)
			return true
		})
	}
	add("cross", func(w *world) bool {
		if w.l.away() || w.l.table.n == 0 && len(w.l.dirty) == 0 {
			return false
		}
		w.l.queueDirty()
		w.l.phase = phaseCrossing
		return true
	})
	add("writer's lock", func(w *world) bool {
		if !writable(w) {
			return false
		}
		w.c.out.locked = true
		return true
	})
	add("writer's unlock", func(w *world) bool {
		if !w.c.out.locked {
			return false
		}
		w.c.unlockOutput()
		return true
	})
	add("first receive", func(w *world) bool {
		if w.l.away() || w.c.watched || w.c.in.state != inFlowing || w.c.end.state != endOpen {
			return false
		}
		w.c.greet()
		return true
	})
	add("Pause", func(w *world) bool {
		if w.c.end.state != endOpen || w.c.burst.paused || !w.c.burst.served {
			return false
		}
		w.c.pause()
		return true
	})
	add("Resume", func(w *world) bool {
		if w.c.end.state != endOpen || !w.c.burst.paused {
			return false
		}
		w.c.resume()
		return true
	})
	add("burst", func(w *world) bool { return w.burst() })
	add("EPOLLOUT", func(w *world) bool { return w.event(unix.EPOLLOUT, 0) })
	add("input", func(w *world) bool { return w.event(unix.EPOLLIN, 0) })
	add("end of input", func(w *world) bool { return w.event(unix.EPOLLIN|unix.EPOLLRDHUP, 1) })
	add("write deadline", func(w *world) bool {
		if w.c.end.state != endOpen || w.c.wdl != 0 || w.l.away() {
			return false
		}
		w.c.wdl = w.l.now + 1
		w.c.arm()
		w.l.now++
		w.c.timeUp(w.l.now)
		w.l.now += int64(writeGrace)
		w.c.timeUp(w.l.now)
		return true
	})
	add("linger limit", func(w *world) bool {
		if w.c.end.limit == 0 || w.c.end.state > endDiscarding || w.l.away() {
			return false
		}
		w.c.timeUp(w.c.end.limit)
		return true
	})
	add("Close", func(w *world) bool {
		if w.c.end.state != endOpen {
			return false
		}
		w.c.close()
		return true
	})
	add("Close with SetLinger(0)", func(w *world) bool {
		if w.c.end.state != endOpen {
			return false
		}
		w.c.end.abort = true
		w.c.close()
		return true
	})
	add("CloseWrite", func(w *world) bool {
		if w.c.end.state != endOpen || w.c.out.fin != finNone {
			return false
		}
		w.c.out.fin = finWanted
		w.c.dirty()
		return true
	})
	return evs
}

func (w *world) backend() worldBackend { return worldBackend{w} }

// event dispatches one from the kernel.
func (w *world) event(mask uint32, eof int32) bool {
	if w.l.away() || w.closed || !w.added || mask&unix.EPOLLOUT != 0 && !w.c.out.armed {
		return false
	}
	w.full = w.full && mask&unix.EPOLLOUT == 0
	w.c.burst.opening = true // no Handler is called from here
	w.l.dispatch(&poller.Event{FD: w.c.fd, Gen: w.c.gen, Mask: mask, Slot: -1, EOF: eof})
	w.c.burst.opening = false
	return true
}
