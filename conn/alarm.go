//go:build linux && (amd64 || arm64)

package conn

import "time"

// alarm is the one timer of Go's that a loop has. It is set when the driver parks,
// and only if something has become due earlier than what it is set to: a timer that
// is armed and cancelled around every wait costs more than a request, in a virtual
// machine above all.
type alarm struct {
	timer *time.Timer
	at    int64 // when it goes off; 0: it is not set
}

func (a *alarm) init(l *loop) {
	a.timer = time.AfterFunc(time.Hour, func() {
		l.mu.Lock()
		l.alarm.at = 0
		l.wake()
		l.mu.Unlock()
	})
	a.timer.Stop()
}

// set has the alarm go off at the latest at at; 0 changes nothing.
func (a *alarm) set(at int64) {
	if at != 0 && (a.at == 0 || at < a.at) {
		a.at = at
		a.timer.Reset(time.Duration(max(at-clockNow(), 0)))
	}
}
