package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// reloads does so for each SIGHUP, and each time that the configuration file has changed.
// Those that come while it is at it are one.
func (t *site) reloads() {
	changed := make(chan struct{}, 1)
	if t.Config != "" {
		w, err := watchFile(t.Config, changed)
		if err != nil {
			t.out.Errorf("--config=%s cannot be watched (%v): SIGHUP has it read again", t.Config, err)
		} else {
			defer w.Close()
		}
	}
	for {
		select {
		case <-t.hangups:
			t.reload()
		case <-changed:
			if text, err := os.ReadFile(t.Config); err == nil && !bytes.Equal(text, t.now.Load().text) {
				t.reload()
			}
		}
	}
}

// reload does what SIGHUP asks for, and says what it has done.
func (t *site) reload() {
	t.systemd.Reloading()
	defer func() { t.systemd.Ready(t.serves()) }()
	before := t.now.Load()
	did := []string{"files are looked at anew"}
	if t.Config != "" {
		fresh, err := t.reread(before)
		if err != nil {
			t.out.Errorf("the configuration is the one before: %v", err)
			// What is wrong is not said again before the file changes again.
			before.text, _ = os.ReadFile(t.Config)
		} else {
			did = append(did, "configuration "+t.Config)
			before = fresh
		}
	}
	before.files.Forget()
	if before.access != nil {
		if err := before.access.Reopen(); err != nil {
			did = append(did, fmt.Sprintf("the access log goes on where it was (%v)", err))
		} else {
			did = append(did, "access log "+before.Log+" reopened")
		}
	}
	if before.certs != nil {
		if err := before.certs.Reload(); err != nil {
			did = append(did, fmt.Sprintf("the certificate is the one before (%v)", err))
		} else {
			did = append(did, "certificate "+before.certs.Name())
		}
	}
	t.out.Printf("reloaded: %s", strings.Join(did, "; "))
}

// reread reads the configuration anew, and puts it in the place of the one before: what
// comes from now on is served by it.
func (t *site) reread(before *content) (*content, error) {
	o, _, err := parseOptions(t.args)
	if err != nil {
		return nil, t.outOfSandbox(err)
	}
	s := &o.Serve
	if s.hasTLS() != t.hasTLS() {
		return nil, errors.New("--tls-cert, --acme: whether TLS is served cannot change while it is: restart escahttp")
	}
	if err := t.reaches(s); err != nil {
		return nil, err
	}
	fresh, err := s.open(t.out, t.metrics, before)
	if err != nil {
		return nil, t.outOfSandbox(err)
	}
	t.now.Store(fresh)
	fresh.startACME()
	t.out.SetLevel(fresh.LogLevel)
	fresh.warn(t.out)
	if names := t.fixed(s); len(names) > 0 {
		t.out.Warnf("%s: a change of that takes a restart", strings.Join(names, ", "))
	}
	// What was begun with the one before may still end.
	time.AfterFunc(max(t.ShutdownTimeout, lingering), func() { before.close(fresh, lastWords) })
	return fresh, nil
}

// fixed returns the flags that s has otherwise, and that are read at the start only.
func (t *site) fixed(s *serveCmd) (names []string) {
	for _, f := range []struct {
		name string
		same bool
	}{
		{"--addr", s.Addr == t.Addr}, {"--listen", slices.Equal(s.Listen, t.Listen)}, {"--http3", s.HTTP3 == t.HTTP3}, {"--socket-mode", s.SocketMode == t.SocketMode}, {"--proxy-protocol", s.ProxyProtocol == t.ProxyProtocol && (!s.ProxyProtocol || s.TrustedProxies == t.TrustedProxies)}, {"--backend", s.Backend == t.Backend}, {"--loops", s.Loops == t.Loops},
		{"--read-timeout", s.ReadTimeout == t.ReadTimeout}, {"--write-timeout", s.WriteTimeout == t.WriteTimeout}, {"--idle-timeout", s.IdleTimeout == t.IdleTimeout},
		{"--admin-addr", s.Admin == t.Admin}, {"--stop-delay", s.StopDelay == t.StopDelay}, {"--shutdown-timeout", s.ShutdownTimeout == t.ShutdownTimeout}, {"--max-conns-per-ip", s.PerIP == t.PerIP}, {"--user", s.User == t.User}, {"--sandbox", s.Sandbox == t.Sandbox}, {"--server-header", s.ServerHeader == t.ServerHeader},
	} {
		if !f.same {
			names = append(names, f.name)
		}
	}
	return names
}

// lingering is for how long at least answers that were begun may take to end.
const lingering = 20 * time.Second

// settle is for how long a file is left alone before it is read: who writes it may not
// have ended.
const settle = 100 * time.Millisecond

// watchFile tells of changes of the file at name, by way of its folder: editors, and those
// who roll out, put another file in its place.
func watchFile(name string, changed chan<- struct{}) (*fsnotify.Watcher, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := w.Add(filepath.Dir(name)); err != nil {
		w.Close()
		return nil, err
	}
	go func() {
		for {
			select {
			case _, ok := <-w.Events:
				if !ok {
					return
				}
				time.Sleep(settle)
				select {
				case changed <- struct{}{}:
				default:
				}
			case _, ok := <-w.Errors:
				if !ok {
					return
				}
			}
		}
	}()
	return w, nil
}

// announce says where, what and how to stop.
func (t *site) announce() {
	backend := "package net"
	if b, ok := any(t.all[0].Listener).(interface{ Backend() string }); ok {
		backend = b.Backend()
	}
	t.out.Printf("%s, %s; Ctrl-C stops", t.serves(), backend)
}

// serves says where and what.
func (t *site) serves() string {
	root := rootName(t.now.Load().Root)
	var urls []string
	for _, l := range t.all {
		urls = append(urls, l.url())
	}
	where := strings.Join(urls, ", ")
	if len(t.udp) > 0 {
		where += " and HTTP/3"
	}
	return fmt.Sprintf("serving %s on %s", root, where)
}

func (l listening) url() string {
	scheme := "http"
	if l.secure {
		scheme = "https"
	}
	ta, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return scheme + " at unix:" + l.Addr().String()
	}
	host := ta.IP.String()
	if ta.IP.IsUnspecified() {
		host = "localhost"
	}
	return fmt.Sprintf("%s://%s/", scheme, net.JoinHostPort(host, fmt.Sprint(ta.Port)))
}
