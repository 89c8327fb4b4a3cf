package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/cmd/escahttp/internal/accesslog"
	"github.com/escahttp/esca/cmd/escahttp/internal/certs"
	"github.com/escahttp/esca/cmd/escahttp/internal/clients"
	"github.com/escahttp/esca/cmd/escahttp/internal/errlog"
	"github.com/escahttp/esca/cmd/escahttp/internal/http1"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
	"github.com/escahttp/esca/cmd/escahttp/internal/welcome"
	"github.com/escahttp/esca/server"
)

// site is what is being served, and with what.
type site struct {
	*serveCmd
	out     *errlog.Log
	files   *static.Handler
	access  *accesslog.Log // nil: none
	certs   *certs.Pair    // nil: no TLS
	clients *clients.Clients
	fs      *fasthttp.Server

	patience time.Duration // for what is left to be written, at the end
	hangups  chan os.Signal
}

// decider puts what decides between the files and the protocol. Tests put a
// double there.
var decider = func(h *static.Handler) http1.Decider { return h }

func (s *serveCmd) run(out *errlog.Log) error {
	// One that comes while we start is not the end: it is for when we have.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	t := &site{serveCmd: s, out: out, patience: lastWords, hangups: hangups}
	defer t.close()
	if err := t.open(); err != nil {
		return err
	}
	ln, err := s.listen(out)
	if err != nil {
		return err
	}
	return t.serve(ln)
}

// open opens all that serving needs but the address.
func (t *site) open() (err error) {
	if t.files, err = t.openFiles(); err != nil {
		return err
	}
	if t.Log != "" {
		if t.access, err = accesslog.Open(t.Log, t.Format, t.out.Printf); err != nil {
			return err
		}
	}
	if t.TLSCert != "" {
		if t.certs, err = certs.Load(t.TLSCert, t.TLSKey, t.out.Printf); err != nil {
			return err
		}
	}
	end := &http1.End{Core: decider(t.files), Log: t.access, Logf: t.out.Traces().Printf}
	t.clients = clients.New(clients.Options{
		Stalled: t.WriteTimeout, PerAddress: t.PerIP, Refuse: end.Refuse, Logf: t.out.Limited("clients").Printf,
	})
	t.fs = &fasthttp.Server{
		Handler:               end.Serve,
		ErrorHandler:          end.Error,
		ExpectHandler:         end.Expect,
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
	if t.certs != nil {
		t.fs.TLSConfig = &tls.Config{GetCertificate: t.certs.Get}
	}
	return nil
}

func (t *site) openFiles() (*static.Handler, error) {
	p, err := t.policy()
	if err != nil {
		return nil, err
	}
	o := static.Options{
		CacheBytes: t.CacheMiB << 20, Tagging: static.Tagging(t.ETag), Precompressed: t.Precompressed, Encode: t.Compress,
		Index: strings.Split(strings.ReplaceAll(t.Index, " ", ""), ","), List: t.List, Dotfiles: t.Dotfiles, CleanURLs: t.CleanURLs, Fallback: t.SPA,
		ErrorPages: p.pages, Types: p.types, Before: p.before, After: p.after, Logf: t.out.Limited("files").Printf,
	}
	if t.Root == "" {
		return static.NewFS(welcome.FS(), time.Now(), o)
	}
	if o.Revalidate = t.Revalidate; o.Revalidate <= 0 {
		o.Revalidate = -1
	}
	h, err := static.New(t.Root, o)
	if err != nil {
		return nil, fmt.Errorf("ROOT: %w", err)
	}
	return h, nil
}

// close writes what is left to be written. It does not wait for files: one may be
// on a disk that hangs.
func (t *site) close() {
	if t.certs != nil {
		t.certs.Close()
	}
	if t.access != nil && !t.access.Close(t.patience) {
		t.out.Printf("access log %s takes nothing: its last lines are lost", t.Log)
	}
}

// oneStop is for how long further signals are taken for the first: timeout(1), make and
// terminals ask a process, and then its group.
const oneStop = 200 * time.Millisecond

// serve serves until a signal asks it to stop: the first lets requests finish,
// within the limit, the second does not.
func (t *site) serve(ln net.Listener) error {
	srv := server.New(t.fs)
	srv.CheckHeads(http1.CheckHead)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Reset(syscall.SIGINT, syscall.SIGTERM) // what is left to be done may be interrupted
	done := make(chan error, 1)
	go func() {
		if t.certs != nil {
			done <- srv.ServeTLS(ln, "", "")
		} else {
			done <- srv.Serve(ln)
		}
	}()
	t.announce(ln)
	go t.reloads()            // which may have to wait for a disk
	var late <-chan time.Time // nil: nothing is to end
	var asked time.Time
	for {
		select {
		case err := <-done:
			return err
		case <-late:
			t.out.Printf("stopped after %v: %d connections were cut off", t.ShutdownTimeout, t.clients.Count())
			return nil
		case <-signals:
			switch {
			case late == nil:
			case time.Since(asked) < oneStop:
				continue
			default:
				t.patience = 0
				return fmt.Errorf("stopped at once: %d connections were cut off", t.clients.Count())
			}
			late, asked = t.limit(), time.Now()
			t.out.Printf("stopping: requests that are being served may finish%s; once more to stop at once", t.within())
			go srv.Shutdown(context.Background())
		}
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
