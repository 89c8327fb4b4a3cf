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

	left atomic.Bool // it is another process that speaks
}

// Leave has nothing more be said: another process has taken this one's place.
func (n *Notifier) Leave() { n.left.Store(true) }

// Ready says that this process serves, and what; it may be another than the one that was
// started.
func (n *Notifier) Ready(status string) {
	n.send(fmt.Sprintf("MAINPID=%d", os.Getpid()), daemon.SdNotifyReady, "STATUS="+status)
}

// Reloading says that the configuration is being read again. Ready ends it.
func (n *Notifier) Reloading() {
	n.send(daemon.SdNotifyReloading, strings.TrimSpace(daemon.SdNotifyMonotonicUsec()), "STATUS=reloading")
}

// Stopping says that the end has begun.
func (n *Notifier) Stopping() { n.send(daemon.SdNotifyStopping, "STATUS=stopping") }

// patience is how long a manager that takes nothing is waited for.
const patience = 5 * time.Second

func (n *Notifier) send(lines ...string) {
	if n.left.Load() {
		return
	}
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
