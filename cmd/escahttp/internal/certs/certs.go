// Package certs keeps a TLS certificate that is renewed while it is being used.
package certs

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// every is how often the files are read, to see whether they have changed: some
// kilobytes every few seconds cost nothing, and tell of links that were pointed
// elsewhere and of files with a constant time as well.
const every = 5 * time.Second

// Pair is a certificate and its key, in two files that are read again. Any number
// of goroutines may use it.
type Pair struct {
	cert, key string
	names     []string // of hosts that it is for; nil: of all
	every     time.Duration
	logf      func(format string, args ...any)
	now       atomic.Pointer[tls.Certificate]
	quit      chan struct{}

	mu   sync.Mutex
	last contents // that were loaded, or could not be
}

// contents are those of both files, or why they cannot be read.
type contents struct {
	cert, key []byte
	err       error
}

// Load loads a Pair. logf is told of each later certificate, and must not block.
func Load(cert, key string, logf func(format string, args ...any)) (*Pair, error) {
	p := &Pair{cert: cert, key: key, every: every, logf: logf, quit: make(chan struct{})}
	if err := p.load(p.read()); err != nil {
		return nil, err
	}
	go p.watch()
	return p, nil
}

// Get is a tls.Config.GetCertificate.
func (p *Pair) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.now.Load(), nil }

// Close ends the watch over the files.
func (p *Pair) Close() { close(p.quit) }

// Reload loads the files again. If that fails, the certificate that is there
// goes on being used.
func (p *Pair) Reload() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.load(p.read())
}

func (p *Pair) read() (c contents) {
	var err error
	if c.cert, err = os.ReadFile(p.cert); err != nil {
		c.err = fmt.Errorf("the certificate: %w: give a file (PEM) that this user may read", err)
	} else if c.key, err = os.ReadFile(p.key); err != nil {
		c.err = fmt.Errorf("the key: %w: give a file (PEM) that this user may read", err)
	}
	return c
}

func (p *Pair) load(c contents) error {
	p.last = c
	if c.err != nil {
		return c.err
	}
	pair, err := tls.X509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("certificate %s, key %s: %w", p.cert, p.key, err)
	}
	p.now.Store(&pair)
	return nil
}

// Name says which certificate is in use.
func (p *Pair) Name() string {
	leaf := p.now.Load().Leaf
	return fmt.Sprintf("%s, valid until %s", leaf.Subject, leaf.NotAfter.UTC().Format("2006-01-02 15:04 MST"))
}

func (p *Pair) watch() {
	t := time.NewTicker(p.every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			p.check()
		case <-p.quit:
			return
		}
	}
}

// check loads files that have changed. While only one of the two has, that fails;
// it is said once, as it is not tried again before one changes again.
func (p *Pair) check() {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.read()
	if bytes.Equal(c.cert, p.last.cert) && bytes.Equal(c.key, p.last.key) && (c.err == nil) == (p.last.err == nil) {
		return
	}
	if err := p.load(c); err != nil {
		p.logf("%v; the one before is used on", err)
		return
	}
	p.logf("the certificate has changed: %s", p.Name())
}
