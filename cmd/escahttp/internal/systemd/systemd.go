// Package systemd speaks to the service manager, where there is one: sockets that it has
// opened, what becomes of the service (sd_notify), and that it is alive (watchdog).
// Without systemd all of it does nothing.
package systemd

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// Sockets returns the sockets that were passed (socket activation), in their order; the
// name of each is what FileDescriptorName= says. It is to be called once; processes that
// are started later do not take them for theirs.
func Sockets() []*os.File { return activation.Files(true) }

// Notifier tells systemd. Any number of goroutines may use it.
type Notifier struct {
	// Logf is told of what cannot be sent.
	Logf func(format string, args ...any)

	left      atomic.Bool // it is another process that speaks
	presented atomic.Bool // systemd knows our number
	reloading atomic.Bool // it has been told so
}

// Leave has nothing more be said, but that what was begun has ended: another process has
// taken this one's place.
func (n *Notifier) Leave() { n.left.Store(true) }

// Ready says that this process serves, and what; the first time it may be another than the
// one that was started. Later it must not say so again: the next one may have.
func (n *Notifier) Ready(status string) {
	lines := []string{daemon.SdNotifyReady, "STATUS=" + status}
	if !n.presented.Swap(true) {
		lines = append([]string{fmt.Sprintf("MAINPID=%d", os.Getpid())}, lines...)
	}
	if n.reloading.Swap(false) {
		n.tell(lines...)
		return
	}
	n.send(lines...)
}

// Reloading says that the configuration is being read again. Ready ends it.
func (n *Notifier) Reloading() {
	if n.left.Load() {
		return
	}
	n.reloading.Store(true)
	n.tell(daemon.SdNotifyReloading, strings.TrimSpace(daemon.SdNotifyMonotonicUsec()), "STATUS=reloading")
}

// Stopping says that the end has begun.
func (n *Notifier) Stopping() { n.send(daemon.SdNotifyStopping, "STATUS=stopping") }

// patience is how long a manager that takes nothing is waited for.
const patience = 5 * time.Second

// send tells, unless it is for another process to speak.
func (n *Notifier) send(lines ...string) {
	if !n.left.Load() {
		n.tell(lines...)
	}
}

func (n *Notifier) tell(lines ...string) {
	sent := make(chan error, 1)
	go func() {
		_, err := daemon.SdNotify(false, strings.Join(lines, "\n"))
		sent <- err
	}()
	select {
	case err := <-sent:
		if err != nil {
			n.Logf("systemd cannot be told: %v", err)
		}
	case <-time.After(patience):
		n.Logf("systemd takes no message")
	}
}

// Watch says again and again that the process is alive, if systemd wants to know
// (WatchdogSec=), each time that alive has returned, until quit is closed.
func (n *Notifier) Watch(alive func(), quit <-chan struct{}) {
	interval, err := daemon.SdWatchdogEnabled(false)
	// A process that takes this one's place is watched in its stead.
	os.Unsetenv("WATCHDOG_PID")
	if err != nil {
		n.Logf("systemd's watchdog: %v", err)
	}
	if interval <= 0 {
		return
	}
	t := time.NewTicker(interval / 2)
	defer t.Stop()
	for {
		alive()
		n.send(daemon.SdNotifyWatchdog)
		select {
		case <-t.C:
		case <-quit:
			return
		}
	}
}
