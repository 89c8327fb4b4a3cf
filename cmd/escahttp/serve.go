package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/cmd/escahttp/internal/admin"
	"github.com/escahttp/esca/cmd/escahttp/internal/clients"
	"github.com/escahttp/esca/cmd/escahttp/internal/errlog"
	"github.com/escahttp/esca/cmd/escahttp/internal/http1"
	"github.com/escahttp/esca/cmd/escahttp/internal/systemd"
	"github.com/escahttp/esca/server"
)

// site is what serves, for as long as the process lives. What it serves is its content.
type site struct {
	*serveCmd // as it was at the start: of addresses, loops and connections
	out       *errlog.Log
	now       atomic.Pointer[content]
	clients   *clients.Clients
	fs        *fasthttp.Server
	metrics   *admin.Metrics // nil: nobody asks
	stopping  atomic.Bool    // and so not ready

	patience time.Duration // for what is left to be written, at the end
	hangups  <-chan os.Signal
	upgrade  <-chan os.Signal // somebody asks for one
	systemd  systemd.Notifier
	upgrades *upgrades
	all      []listening
	udp      []datagrams // for HTTP/3; none: it is not spoken
}

func (s *serveCmd) run(out *errlog.Log) error {
	// One that comes while we start is not the end: it is for when we have.
	t := &site{serveCmd: s, out: out, patience: lastWords, hangups: signalled(syscall.SIGHUP), upgrade: signalled(upgradeSignals...)}
	t.systemd.Logf = out.Warnf
	defer t.close()
	out.SetLevel(s.LogLevel)
	if err := t.open(); err != nil {
		return err
	}
	var err error
	if t.upgrades, err = newUpgrades(); err != nil {
		return err
	}
	from := &sockets{serveCmd: s, passed: systemd.Sockets(), upgrades: t.upgrades, logger: out}
	if t.all, err = from.listen(); err != nil {
		return err
	}
	if t.udp, err = from.listenHTTP3(t.all); err != nil {
		return err
	}
	closeFiles(from.passed)
	var admin net.Listener // nil: nobody asks
	if s.Admin != "" {
		if admin, err = listenAdmin(s.Admin, t.upgrades); err != nil {
			return err
		}
	}
	if err := t.confine(); err != nil {
		return err
	}
	return t.serve(admin)
}

// open opens all that serving needs but the address.
func (t *site) open() error {
	if t.Admin != "" {
		t.metrics = admin.NewMetrics()
	}
	c, err := t.serveCmd.open(t.out, t.metrics, nil)
	if err != nil {
		return err
	}
	t.now.Store(c)
	t.clients = clients.New(clients.Options{
		Stalled: t.WriteTimeout, PerAddress: t.PerIP, Logf: t.out.Limited("clients").Printf,
		Refuse: func(nc net.Conn) { t.now.Load().end.Refuse(nc) },
	})
	t.fs = &fasthttp.Server{
		Handler:               t.announcing(func(ctx *fasthttp.RequestCtx) { t.now.Load().end.Serve(ctx) }),
		ErrorHandler:          func(ctx *fasthttp.RequestCtx, err error) { t.now.Load().end.Error(ctx, err) },
		ExpectHandler:         func(ctx *fasthttp.RequestCtx) int { return t.now.Load().end.Expect(ctx) },
		ConnState:             t.clients.State,
		Name:                  t.ServerHeader,
		ReadTimeout:           t.ReadTimeout,
		WriteTimeout:          wholeAnswer(t.WriteTimeout),
		IdleTimeout:           t.IdleTimeout,
		ReadBufferSize:        16 << 10,
		MaxRequestBodySize:    64 << 10, // nobody has a reason to send any
		CloseOnShutdown:       true,
		SecureErrorLogMessage: true,
		Logger:                t.out.Limited("connections"),
	}
	if t.ServerHeader == "off" {
		t.fs.Name, t.fs.NoDefaultServerHeader = "", true
	}
	if c.certs != nil {
		t.fs.TLSConfig = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return t.now.Load().certs.Get(hello)
		}, GetConfigForClient: t.challenge}
	}
	return nil
}

// signalled tells of signals, of which those that come before one is taken are one; none are
// none.
func signalled(signals ...os.Signal) <-chan os.Signal {
	c := make(chan os.Signal, 1)
	if len(signals) > 0 {
		signal.Notify(c, signals...)
	}
	return c
}

// close writes what is left to be written. It does not wait for files: one may be
// on a disk that hangs.
func (t *site) close() {
	c := t.now.Load()
	if c == nil {
		return
	}
	if c.acme != nil {
		c.acme.Close()
	}
	if c.certs != nil {
		c.certs.Close()
	}
	if c.access != nil && !c.access.Close(t.patience) {
		t.out.Errorf("access log %s takes nothing: its last lines are lost", c.Log)
	}
}

// oneStop is for how long further signals are taken for the first: timeout(1), make and
// terminals ask a process, and then its group.
const oneStop = 200 * time.Millisecond

// serve serves until a signal asks it to stop, of which the first lets requests finish,
// within the limit, and the second does not; or until another process has taken its place.
func (t *site) serve(admin net.Listener) error {
	srv := server.New(t.fs, server.WithStreamStall(t.WriteTimeout))
	srv.CheckHeads(http1.CheckHead)
	t.behindProxies(srv)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Reset(syscall.SIGINT, syscall.SIGTERM) // what is left to be done may be interrupted
	done := make(chan error, len(t.all)+len(t.udp))
	for _, ln := range t.all {
		go func() {
			if ln.secure {
				done <- srv.ServeTLS(ln.Listener, "", "")
			} else {
				done <- srv.Serve(ln.Listener)
			}
		}()
	}
	h3 := t.serveHTTP3(done)
	defer h3.close()
	left := len(t.all) + len(t.udp)
	t.announce()
	go t.now.Load().warn(t.out) // which looks at files: their disk may hang
	if t.Open {
		t.invite(t.all)
	}
	t.now.Load().startACME()
	closeAdmin := func() {}
	if admin != nil {
		a := t.administer(admin, srv)
		closeAdmin = sync.OnceFunc(func() { a.Close() })
		defer closeAdmin()
	}
	quit := make(chan struct{})
	defer close(quit)
	go t.systemd.Watch(func() { srv.Stats() }, quit) // of loops that turn
	t.systemd.Ready(t.serves())
	if err := t.upgrades.ready(); err != nil {
		return fmt.Errorf("the process before does not let go: %w", err)
	}
	replaced := t.upgrades.done()
	go t.reloads()            // which may have to wait for a disk
	var late <-chan time.Time // nil: nothing is to end
	var now <-chan time.Time  // when listening is to end
	var asked time.Time
	upgraded := false
	for {
		select {
		case err := <-done:
			if left--; err != nil || left == 0 {
				return err
			}
		case <-late:
			t.out.Warnf("stopped after %v: %d connections were cut off", t.ShutdownTimeout, t.clients.Count())
			return nil
		case <-t.upgrade:
			go t.replace()
		case <-replaced:
			replaced, now, upgraded = nil, nil, true
			t.systemd.Leave()
			closeAdmin() // it is the next one that is asked
			for _, ln := range t.all {
				ln.SetUnlinkOnClose(false)
			}
			t.out.Printf("upgraded: another process serves; requests that are being served here may finish%s", t.within())
			late = t.limit()
			h3.stop()
			go t.shutDown(srv)
		case <-signals:
			switch {
			case asked.IsZero():
			case time.Since(asked) < oneStop:
				continue
			default:
				t.patience = 0
				return fmt.Errorf("stopped at once: %d connections were cut off", t.clients.Count())
			}
			asked = time.Now()
			if upgraded { // it is for the next one, too, and this one is at it
				t.out.Printf("stopping already: requests that are being served may finish; once more to stop at once")
				continue
			}
			t.stopping.Store(true)
			t.systemd.Stopping()
			if now == nil && t.StopDelay > 0 {
				t.out.Printf("stopping in %v; once more to stop at once", t.StopDelay)
			}
			now = time.After(t.StopDelay)
		case <-now:
			t.out.Printf("stopping: requests that are being served may finish%s; once more to stop at once", t.within())
			late, replaced = t.limit(), nil
			t.upgrades.stop()
			h3.stop()
			go t.shutDown(srv)
		}
	}
}

// shutDown lets requests finish. Of a Serve that is still to begin, where the signal comes
// at once, Shutdown knows nothing: that ends with its listener.
func (t *site) shutDown(srv *server.Server) {
	srv.Shutdown(context.Background())
	for _, ln := range t.all {
		ln.Close()
	}
}

// limit is when a stop has to be over.
func (t *site) limit() <-chan time.Time {
	if t.ShutdownTimeout <= 0 {
		return make(chan time.Time)
	}
	return time.After(t.ShutdownTimeout)
}

func (t *site) within() string {
	if t.ShutdownTimeout <= 0 {
		return ""
	}
	return fmt.Sprintf(" within %v", t.ShutdownTimeout)
}
