//go:build linux && (amd64 || arm64)

package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/server"
)

// newCert returns a certificate for host, and a pool that trusts it.
func newCert(t *testing.T, host string) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	certPEM, keyPEM, err := fasthttp.GenerateTestCertificate(host)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return &cert, pool
}

// Certificates change without a restart: the server's by GetCertificate, whom it trusts by
// GetConfigForClient. Who is connected stays, with what it has.
func TestGnetTLSCertificatesChange(t *testing.T) {
	const host = "esca.test"
	var cert atomic.Pointer[tls.Certificate]
	var trusted atomic.Pointer[x509.CertPool]
	mine, iAm := newCert(t, "client.one")
	other, heIs := newCert(t, "client.two")
	trusted.Store(iAm)
	cfg := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.Load(), nil }}
	// What is verified here is the certificate that the client shows as it is.
	verify := func(certs [][]byte, _ [][]*x509.Certificate) error {
		leaf, err := x509.ParseCertificate(certs[0])
		if err != nil {
			return err
		}
		_, err = leaf.Verify(x509.VerifyOptions{Roots: trusted.Load(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		return err
	}
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := &tls.Config{GetCertificate: cfg.GetCertificate, ClientAuth: tls.RequireAnyClientCert, VerifyPeerCertificate: verify}
		return c, nil
	}
	r := start(t, engine{"esca", func(h gnet.EventHandler, addrs []string, o ...gnet.Option) error {
		return server.RunTLS(h, addrs[0], cfg, o...)
	}}, &app{traffic: echo}, []string{"tcp"})

	connect := func(pool *x509.CertPool, own *tls.Certificate) (*tls.Conn, error) {
		c := tls.Client(r.dial(0), &tls.Config{RootCAs: pool, ServerName: host, Certificates: []tls.Certificate{*own}})
		if _, err := io.WriteString(c, "hello"); err != nil {
			return c, err
		}
		_, err := io.ReadFull(c, make([]byte, 5))
		return c, err
	}
	var open []*tls.Conn
	for round := range 3 {
		now, pool := newCert(t, host)
		cert.Store(now)
		c, err := connect(pool, mine)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		open = append(open, c)
		for i, c := range open {
			mustWrite(t, c, "still here")
			mustRead(t, c, "still here")
			if got := c.ConnectionState().PeerCertificates[0]; i < round && got.Equal(open[round].ConnectionState().PeerCertificates[0]) {
				t.Errorf("round %d: connection %d has got the new certificate", round, i)
			}
		}
	}
	_, pool := newCert(t, host)
	if _, err := connect(pool, mine); err == nil {
		t.Error("a client that trusts another certificate is served")
	}
	now, pool := newCert(t, host)
	cert.Store(now)
	if _, err := connect(pool, other); err == nil {
		t.Error("a client that is not trusted is served")
	}
	trusted.Store(heIs)
	if _, err := connect(pool, other); err != nil {
		t.Errorf("a client that is trusted by now: %v", err)
	}
	if _, err := connect(pool, mine); err == nil {
		t.Error("a client that is not trusted any more is served")
	}
	mustWrite(t, open[0], "still here")
	mustRead(t, open[0], "still here")
}

// An idle deadline that OnTraffic moves: 100,000 times, over plain connections and TLS.
// Who is busy stays; who is not is closed.
func TestGnetIdleDeadlinesMove(t *testing.T) {
	const conns, rounds = 200, 500
	cfg, client := serverTLS(t)
	for _, withTLS := range []bool{false, true} {
		a := &app{traffic: func(c gnet.Conn) gnet.Action {
			b, _ := c.Next(-1)
			idle := time.Hour
			if b[len(b)-1] == '.' {
				idle = time.Millisecond
			}
			if err := c.SetReadDeadline(time.Now().Add(idle)); err != nil {
				t.Error(err)
			}
			c.Write(b)
			return gnet.None
		}}
		each := rounds
		if withTLS {
			each /= 10
		}
		r := start(t, engine{"esca", func(h gnet.EventHandler, addrs []string, o ...gnet.Option) error {
			if withTLS {
				return server.RunTLS(h, addrs[0], cfg, o...)
			}
			return server.Run(h, addrs[0], o...)
		}}, a, []string{"tcp"})
		var all sync.WaitGroup
		for range conns {
			c := r.dial(0)
			if withTLS {
				c = tls.Client(c, client)
			}
			all.Go(func() {
				buf := make([]byte, 1)
				for i := range each {
					buf[0] = 'x'
					if i == each-1 {
						buf[0] = '.'
					}
					if _, err := c.Write(buf); err != nil {
						t.Error(err)
						return
					}
					if _, err := io.ReadFull(c, buf); err != nil {
						t.Error(err)
						return
					}
				}
				if n, err := c.Read(buf); n != 0 || err == nil {
					t.Errorf("an idle connection goes on: %d, %v", n, err)
				}
			})
		}
		all.Wait()
		for i := range conns {
			r.until(i, "open traffic close:timeout")
		}
		r.stop()
	}
}
