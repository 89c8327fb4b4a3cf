// Package acme has certificates made by an authority that speaks ACME (RFC 8555), and
// keeps them on disk.
//
//	Start ──► for each name: from disk, or from the authority, again until it has one;
//	          and it is said when one was to be renewed and was not
//	Get       what there is of a name; a handshake never waits for the authority
//	Decide    answers the authority's HTTP-01 challenges
//	Config    answers its TLS-ALPN-01 challenges
//
// The protocol, the renewals and the files are golang.org/x/crypto/acme/autocert's.
package acme

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/escahttp/esca/cmd/escahttp/internal/hosts"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// Options of a Manager.
type Options struct {
	// Names are the hosts that certificates are for, one each. The first is that of
	// clients that name none.
	Names []string
	// Dir is where keys and certificates are kept.
	Dir string
	// Email is where the authority may write to; empty: nowhere.
	Email string
	// Server is the URL of the authority's directory; empty: Let's Encrypt's.
	Server string
	// ServerCA is a file (PEM) of what signs for Server; empty: what the system trusts.
	ServerCA string
	// HTTP says that there is an address without TLS, on which HTTP-01 can be answered.
	HTTP bool
	// Logf is told what becomes of the certificates, Errorf what does not work. They must
	// not block.
	Logf, Errorf func(format string, args ...any)
}

// Manager has the certificates of some names. Any number of goroutines may use it.
type Manager struct {
	o     Options
	m     *autocert.Manager
	http  http.Handler // answers HTTP-01; nil: there is no address for it
	start sync.Once
	quit  chan struct{}

	mu   sync.RWMutex
	have map[string]bool
}

// New returns a Manager, and makes its directory.
func New(o Options) (*Manager, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("certificates cannot be kept: %w: say where else by --acme-dir", err)
	}
	return Prepare(o)
}

// Prepare is New, but makes nothing on disk.
func Prepare(o Options) (*Manager, error) {
	client := &acme.Client{DirectoryURL: o.Server, UserAgent: "escahttp"}
	if o.ServerCA != "" {
		pem, err := os.ReadFile(o.ServerCA)
		if err != nil {
			return nil, fmt.Errorf("--acme-server-ca: %w: give a file (PEM) that this user may read", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--acme-server-ca: %s holds no certificate (PEM): give what has signed the authority's own", o.ServerCA)
		}
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.TLSClientConfig = &tls.Config{RootCAs: roots}
		client.HTTPClient = &http.Client{Transport: t}
	}
	m := &Manager{o: o, quit: make(chan struct{}), have: map[string]bool{}}
	m.m = &autocert.Manager{
		Prompt: autocert.AcceptTOS, Email: o.Email, Client: client, Cache: kept{autocert.DirCache(o.Dir), m},
		HostPolicy: autocert.HostWhitelist(o.Names...),
	}
	if o.HTTP {
		m.http = m.m.HTTPHandler(http.NotFoundHandler())
	}
	return m, nil
}

// ParseNames reads names of hosts that certificates may be had for, separated by commas.
func ParseNames(text string) (names []string, err error) {
	var known hosts.Names[bool]
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(name)), ".")
		switch {
		case strings.HasPrefix(name, "*"):
			return nil, fmt.Errorf("%q: a wildcard cannot be had by HTTP-01 and TLS-ALPN-01: write the names out", name)
		case net.ParseIP(name) != nil:
			return nil, fmt.Errorf("%q: give the name of a host, not its address", name)
		case !strings.Contains(name, "."):
			return nil, fmt.Errorf("%q is no name that an authority knows: give one such as example.org", name)
		}
		if err := known.Add(name, true); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// Start has all certificates made that are missing. It returns at once, and may be called
// again. The authority asks back: addresses have to be listened on.
func (m *Manager) Start() {
	m.start.Do(func() {
		for _, name := range m.o.Names {
			go m.obtain(name)
		}
	})
}

// Close ends the attempts to get those that are missing.
func (m *Manager) Close() { close(m.quit) }

// How long after a failure the next attempt is made. It gets longer from one to the next,
// as authorities limit how often one may fail.
const (
	firstPause   = time.Minute + time.Second // autocert remembers a failure for a minute
	longestPause = time.Hour
)

// obtain gets the certificate of name.
func (m *Manager) obtain(name string) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		cert, err := m.m.GetCertificate(hello(name))
		if err == nil {
			m.mu.Lock()
			m.have[name] = true
			m.mu.Unlock()
			m.o.Logf("certificate for %s: valid until %s", name, until(cert))
			m.watch(name, cert.Leaf)
			return
		}
		m.o.Errorf("a certificate for %s cannot be had: %v; the next attempt is in %v", name, err, pause.Round(time.Minute))
		select {
		case <-time.After(pause):
		case <-m.quit:
			return
		}
	}
}

// hello is one that asks for an elliptic key: RSA's are for clients that are gone.
func hello(name string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{ServerName: name, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
}

func until(cert *tls.Certificate) string {
	return cert.Leaf.NotAfter.UTC().Format(minutes)
}

const minutes = "2006-01-02 15:04 MST"

// Has reports whether name is one of its.
func (m *Manager) Has(name string) bool {
	return slices.Contains(m.o.Names, strings.ToLower(strings.TrimSuffix(name, ".")))
}

var errNotYet = errors.New("the certificate is still to be had")

// Get is a tls.Config.GetCertificate.
func (m *Manager) Get(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(h.ServerName, "."))
	if name == "" {
		name = m.o.Names[0]
	}
	m.mu.RLock()
	have := m.have[name]
	m.mu.RUnlock()
	if !have {
		return nil, fmt.Errorf("%q: %w", name, errNotYet)
	}
	return m.m.GetCertificate(hello(name))
}

// Config is a tls.Config.GetConfigForClient: for the authority's TLS-ALPN-01 challenge it
// returns what answers that.
func (m *Manager) Config(h *tls.ClientHelloInfo) *tls.Config {
	if len(h.SupportedProtos) != 1 || h.SupportedProtos[0] != acme.ALPNProto {
		return nil
	}
	return &tls.Config{NextProtos: []string{acme.ALPNProto}, GetCertificate: m.m.GetCertificate}
}

var challenges = []byte("/.well-known/acme-challenge/")

// Decide is a static.Step: it answers an HTTP-01 challenge that is under way.
func (m *Manager) Decide(r static.Request, a *static.Answer) bool {
	if m.http == nil || !bytes.HasPrefix(r.Path(), challenges) || string(r.Method()) != http.MethodGet {
		return false
	}
	host, _, err := net.SplitHostPort(string(r.Host()))
	if err != nil {
		host = string(r.Host())
	}
	var w answer
	m.http.ServeHTTP(&w, &http.Request{Method: http.MethodGet, Host: strings.ToLower(host), URL: &url.URL{Path: string(r.Path())}})
	if w.status != http.StatusOK {
		return false // another's, whose answer may be a file
	}
	a.Status, a.ContentType, a.Text = w.status, valueText, w.Bytes()
	return true
}

var valueText = []byte("text/plain; charset=utf-8")

// answer is the http.ResponseWriter of autocert's handler.
type answer struct {
	bytes.Buffer
	status int
}

func (w *answer) Header() http.Header { return http.Header{} }

func (w *answer) WriteHeader(status int) { w.status = status }

func (w *answer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.Buffer.Write(p)
}

// Name says which certificates are in use.
func (m *Manager) Name() string {
	return fmt.Sprintf("%s by ACME, kept in %s", strings.Join(m.o.Names, ", "), m.o.Dir)
}

// kept is the directory, and says what comes into it.
type kept struct {
	autocert.DirCache
	m *Manager
}

// Put is an autocert.Cache's. One that cannot be kept is used all the same.
func (k kept) Put(ctx context.Context, name string, data []byte) error {
	err := k.DirCache.Put(ctx, name, data)
	switch {
	case err != nil:
		k.m.o.Errorf("%s cannot be kept: %v", filepath.Join(string(k.DirCache), name), err)
	case k.m.Has(name):
		k.m.o.Logf("certificate for %s: a new one is kept in %s", name, k.DirCache)
	}
	return err
}
