package acme

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/acme"
)

// Of a certificate that is renewed in time nobody hears; of one that is not, while a quarter of the
// time for it is over, and again until it ends.
func TestWatch(t *testing.T) {
	const name, day = "a.example.org", 24 * time.Hour
	d := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var said []string
		m, err := New(Options{Dir: d, Names: []string{name}, Logf: t.Logf, Errorf: func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, fmt.Sprintf(format, args...))
		}})
		if err != nil {
			t.Fatal(err)
		}
		m.m.Client = &acme.Client{HTTPClient: &http.Client{Transport: unreachable{}}}
		heard := func() int {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return len(said)
		}
		began := time.Now()
		old := keep(t, d, name, began.Add(-60*day), 89*day)
		now := keep(t, d, name, began, 90*day) // it has been renewed by the time that anybody looks
		done := make(chan bool)
		go func() { m.watch(name, old); close(done) }()
		time.Sleep(time.Until(now.NotAfter.Add(-30*day + 7*day)))
		if n := heard(); n != 0 {
			t.Errorf("with more than three quarters of the time for it left, %q", said)
		}
		time.Sleep(day)
		if n := heard(); n == 0 || !strings.Contains(said[0], name+": it was to be renewed and is not, and ends on "+now.NotAfter.Format("2006-01-02")) {
			t.Errorf("later, %q", said)
		}
		before := heard()
		time.Sleep(5 * day)
		if heard() == before {
			t.Errorf("five days later, no more than %q", said)
		}
		m.Close()
		<-done
	})
}

// unreachable is an authority that is not there.
type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("unreachable")
}

// keep puts a certificate of name into dir, as autocert keeps them, and returns it.
func keep(t *testing.T, dir, name string, from time.Time, valid time.Duration) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(from.Unix()), DNSNames: []string{name}, NotBefore: from, NotAfter: from.Add(valid)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	pem.Encode(&b, &pem.Block{Type: "EC PRIVATE KEY", Bytes: private})
	pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}
