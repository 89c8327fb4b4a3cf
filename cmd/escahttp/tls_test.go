//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// certificate writes a certificate of that name to c and k.
func certificate(t *testing.T, dir, name string) {
	t.Helper()
	certificateOf(t, dir, name, time.Time{}, time.Now().Add(time.Hour))
}

// certificateOf makes one that is valid between two times.
func certificateOf(t *testing.T, dir, name string, from, to time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir+"/c", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	put(t, dir+"/k", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// presented is the name of the certificate that a new connection sees.
func presented(t *testing.T, addr string) string {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// A renewed certificate is taken: on SIGHUP, and by itself. One that does not load
// is not, and the reason is said.
func TestCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	certificate(t, d, "one")
	p := launch(t, nil, nil, "--tls-cert="+d+"/c", "--tls-key="+d+"/k", d)
	if name := presented(t, p.addr); name != "one" {
		t.Fatal(name)
	}
	certificate(t, d, "two")
	p.Process.Signal(syscall.SIGHUP)
	eventually(t, "two is presented", func() bool { return presented(t, p.addr) == "two" })
	eventually(t, "it says so", func() bool { return strings.Contains(p.said(), "certificate CN=two, valid until ") })
	old, _ := os.ReadFile(d + "/k")
	put(t, d+"/k", []byte("nonsense"))
	p.Process.Signal(syscall.SIGHUP)
	eventually(t, "it says why not", func() bool {
		return strings.Contains(p.said(), "the certificate is the one before (certificate "+d+"/c, key")
	})
	if name := presented(t, p.addr); name != "two" {
		t.Errorf("then %s is presented", name)
	}
	put(t, d+"/k", old)
	certificate(t, d, "three")
	eventually(t, "three is presented, without a signal", func() bool { return presented(t, p.addr) == "three" })
}

func TestPlainRequestOnTheTLSPort(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	certificate(t, d, "one")
	p := launch(t, nil, nil, "--tls-cert="+d+"/c", "--tls-key="+d+"/k", d)
	c := connect(t, p.addr)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	b, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(b), "HTTP/1.1 400 ") || !strings.Contains(string(b), "speaks TLS") {
		t.Errorf("%q", b)
	}
}
