//go:build linux && (amd64 || arm64)

package server

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"
)

// gnetShadow is what a real engine of gnet's runs beside our loops.
//
// A gnet.Engine cannot be made outside gnet, and handlers keep the one that
// OnBoot has given them. There is no plainer way: its only field is unexported, its zero
// value reports ErrEmptyEngine for everything, no function of gnet's returns one (a
// Client has none), and one put together by its layout in memory would have to have
// gnet's listeners, loops and shutdown in it as well. So gnet makes it: it runs the
// user's handler on what is registered with it, and on datagram sockets of the loopback
// that nobody knows; it ticks, and its Stop is ours as well, as OnShutdown waits for our
// loops.
type gnetShadow struct {
	gnet.EventHandler
	e       *gnetEngine
	private net.IP // of the sockets, which exist for the engine to have any
	started sync.Once
}

// runShadow returns when the engine has been stopped, or could not be run.
func runShadow(e *gnetEngine) error {
	s := e.set
	// An address of 127/8 of its own tells datagrams that somebody has sent to
	// the private sockets from those of a connection that is registered.
	private := net.IPv4(127, byte(128+rand.IntN(64)), byte(rand.IntN(256)), byte(1+rand.IntN(254)))
	addr := fmt.Sprintf("udp4://%s:0", private)
	opts := gnet.Options{NumEventLoop: 1}
	if len(s.datagrams) > 0 {
		opts = s.Options // which connections that are registered are to have
		opts.BindToDevice, opts.MulticastInterfaceIndex = "", 0
	}
	opts.Ticker = true
	opts.Logger = bootLog{s.Logger, e}
	// Of two listeners the engine gives no duplicate, rather than a wrong one.
	return gnet.Rotate(&gnetShadow{EventHandler: e.g.h, e: e, private: private}, []string{addr, addr}, gnet.WithOptions(opts))
}

// OnBoot boots the application.
func (s *gnetShadow) OnBoot(eng gnet.Engine) gnet.Action {
	e := s.e
	logging.SetDefaultLoggerAndFlusher(e.set.Logger, e.set.flush) // bootLog has done what it is for
	e.eng = eng
	e.g.mu.Lock()
	e.g.e = e
	e.g.mu.Unlock()
	return s.EventHandler.OnBoot(eng)
}

// OnTick comes for the first time when gnet's loops are there: the application
// may have its engine register connections with them from its first callback on.
func (s *gnetShadow) OnTick() (time.Duration, gnet.Action) {
	s.started.Do(s.e.start)
	if !s.e.set.Ticker {
		return 1<<63 - 1, gnet.None
	}
	return s.EventHandler.OnTick()
}

// OnShutdown ends the application, and then our loops.
func (s *gnetShadow) OnShutdown(eng gnet.Engine) {
	s.EventHandler.OnShutdown(eng)
	s.e.stop()
}

// OnOpen implements gnet.EventHandler.
func (s *gnetShadow) OnOpen(c gnet.Conn) (out []byte, action gnet.Action) {
	s.e.alone(func() { out, action = s.EventHandler.OnOpen(s.e.guest(c)) })
	return out, action
}

// OnTraffic drops what comes to the private sockets.
func (s *gnetShadow) OnTraffic(c gnet.Conn) (action gnet.Action) {
	if a, ok := c.LocalAddr().(*net.UDPAddr); ok && a.IP.Equal(s.private) {
		return gnet.None
	}
	s.e.alone(func() { action = s.EventHandler.OnTraffic(s.e.guest(c)) })
	return action
}

// OnClose implements gnet.EventHandler.
func (s *gnetShadow) OnClose(c gnet.Conn, err error) (action gnet.Action) {
	s.e.alone(func() { action = s.EventHandler.OnClose(s.e.guest(c), err) })
	return action
}

// bootLog is the application's logger until OnBoot: of the lines that the engine
// writes by then, one names addresses that mean nothing to anybody.
type bootLog struct {
	logging.Logger
	e *gnetEngine
}

// Infof replaces that line.
func (l bootLog) Infof(format string, args ...any) {
	if strings.HasPrefix(format, "Launching gnet") {
		l.Logger.Infof("Launching gnet on esca with %d event-loops (%s), listening on: %s",
			l.e.first().Loops(), l.e.first().Backend(), strings.Join(l.e.given, " | "))
		return
	}
	l.Logger.Infof(format, args...)
}
