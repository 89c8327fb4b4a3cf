//go:build linux && (amd64 || arm64)

// Package apps_test has real applications of fasthttp, and real clients, run
// unmodified on esca and, for comparison, on fasthttp's own server.
package apps_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// patience is how long these tests wait for what has to come.
const patience = 30 * time.Second

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// running is a fasthttp.Server that serves, on one runtime or another.
type running struct {
	addr  string
	h2    bool       // HTTP/2 as well, in the clear
	serve chan error // what Serve has returned
}

// onAll runs test on fasthttp's own runtime, which says what is right, and on
// esca's in several ways.
func onAll(t *testing.T, test func(t *testing.T, start func(fs *fasthttp.Server) *running)) {
	t.Run("fasthttp", func(t *testing.T) {
		test(t, func(fs *fasthttp.Server) *running {
			ln, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			return run(t, fs, ln, nil)
		})
	})
	for name, opts := range map[string][]conn.Option{
		"esca":                     nil,
		"esca, inline, one loop":   {conn.WithDispatch(conn.DispatchInline), conn.WithLoops(1)},
		"esca, on goroutines":      {conn.WithDispatch(conn.DispatchGoroutine), conn.WithLoops(2)},
		"esca, adaptive, one loop": {conn.WithLoops(1)},
	} {
		t.Run(name, func(t *testing.T) {
			test(t, func(fs *fasthttp.Server) *running {
				ln, err := conn.Listen("tcp4", "127.0.0.1:0", opts...)
				if err != nil {
					t.Fatal(err)
				}
				return run(t, fs, ln, server.New(fs, server.WithH2C(true)))
			})
		})
	}
}

// run serves until the test ends. With fs.TLSConfig it serves TLS.
func run(t *testing.T, fs *fasthttp.Server, ln net.Listener, s *server.Server) *running {
	r := &running{addr: ln.Addr().String(), h2: s != nil, serve: make(chan error, 1)}
	serve, serveTLS := fs.Serve, fs.ServeTLS
	if s != nil {
		serve, serveTLS = s.Serve, s.ServeTLS
	}
	go func() {
		if fs.TLSConfig != nil {
			r.serve <- serveTLS(ln, "", "")
		} else {
			r.serve <- serve(ln)
		}
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := fs.ShutdownWithContext(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-r.serve; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

// authority issues certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
