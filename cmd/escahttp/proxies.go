package main

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/escahttp/esca/cmd/escahttp/internal/proxied"
	"github.com/escahttp/esca/cmd/escahttp/internal/realip"
)

// checkProxies looks at what can be seen to be wrong with the flags about proxies.
func (s *serveCmd) checkProxies() error {
	p, err := realip.ParsePrefixes(s.TrustedProxies)
	switch {
	case err != nil:
		return fmt.Errorf("--trusted-proxies: %w", err)
	case s.ProxyProtocol && len(p) == 0 && !allUnix(s):
		return errors.New("--proxy-protocol: say who may send it: give --trusted-proxies, such as 10.0.0.0/8")
	}
	return nil
}

func allUnix(s *serveCmd) bool {
	list, err := s.addresses()
	if err != nil {
		return false
	}
	for _, a := range list {
		if !a.unix {
			return false
		}
	}
	return true
}

// proxies are those that are trusted; nil: none.
func (s *serveCmd) proxies() *realip.Proxies {
	p, err := realip.ParsePrefixes(s.TrustedProxies)
	if err != nil || len(p) == 0 {
		return nil
	}
	header := realip.Header(s.RealIP)
	if s.ProxyProtocol {
		header = realip.None // the connection says it already
	}
	return &realip.Proxies{Trusted: p, Header: header}
}

// headerTime is how long a PROXY header may take where requests have no limit.
const headerTime = 30 * time.Second

// behindProxies has ln begin with PROXY headers, if it is to.
func (t *site) behindProxies(ln net.Listener) net.Listener {
	if !t.ProxyProtocol {
		return ln
	}
	trusted, err := realip.ParsePrefixes(t.TrustedProxies)
	if err != nil {
		return ln // check has seen that it can be read
	}
	within := t.ReadTimeout
	if within <= 0 {
		within = headerTime
	}
	return proxied.Listen(ln, proxied.Options{Trusted: trusted, Within: within, Logf: t.out.Limited("proxies").Printf})
}
