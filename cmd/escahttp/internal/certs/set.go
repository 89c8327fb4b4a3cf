package certs

import (
	"crypto/tls"
	"errors"
	"strings"

	"github.com/escahttp/esca/cmd/escahttp/internal/hosts"
)

// Set is the certificates of several hosts: a client gets that of the name which it has
// asked for (SNI), or else the first.
type Set struct {
	all   []*Pair
	names hosts.Names[*Pair]
	auto  Auto // nil: none
}

// Auto has certificates that come from elsewhere than files.
type Auto interface {
	Has(name string) bool
	Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error)
	Name() string
}

// Auto adds those that a has.
func (s *Set) Auto(a Auto) { s.auto = a }

// Add adds one for hosts of these names, from files. See Load.
func (s *Set) Add(names []string, cert, key string, logf func(format string, args ...any)) error {
	p, err := Load(cert, key, logf)
	if err != nil {
		return err
	}
	p.names = names
	s.all = append(s.all, p)
	for _, n := range names {
		if err := s.names.Add(n, p); err != nil {
			return err
		}
	}
	return nil
}

// Get is a tls.Config.GetCertificate.
func (s *Set) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if p, ok := s.names.Get([]byte(hello.ServerName)); ok {
		return p.Get(hello)
	}
	if s.auto != nil && (len(s.all) == 0 || s.auto.Has(hello.ServerName)) {
		return s.auto.Get(hello)
	}
	return s.all[0].Get(hello)
}

// Reload loads the files again. Where that fails, the certificate that is there goes on
// being used.
func (s *Set) Reload() error {
	var err error
	for _, p := range s.all {
		err = errors.Join(err, p.Reload())
	}
	return err
}

// Name says which certificates are in use.
func (s *Set) Name() string {
	var names []string
	for _, p := range s.all {
		names = append(names, p.Name())
	}
	if s.auto != nil {
		names = append(names, s.auto.Name())
	}
	return strings.Join(names, ", ")
}

// Close ends the watch over the files.
func (s *Set) Close() {
	for _, p := range s.all {
		p.Close()
	}
}
