package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// pair writes a certificate of that name, and its key.
func pair(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "c", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, dir, "k", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

func write(t *testing.T, dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

type sayer struct {
	mu   sync.Mutex
	said string
}

func (s *sayer) say(f string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said += fmt.Sprintf(f, args...) + "\n"
}

func TestRenewal(t *testing.T) {
	dir, s := t.TempDir(), new(sayer)
	pair(t, dir, "one")
	p, err := Load(filepath.Join(dir, "c"), filepath.Join(dir, "k"), s.say)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	now := func() string { c, _ := p.Get(nil); return c.Leaf.Subject.CommonName }
	check := func(step, name string, said int) {
		t.Helper()
		p.check()
		p.check() // what was said once is not said again
		if now() != name || strings.Count(s.said, "\n") != said {
			t.Errorf("%s: %s, said %q; want %s and %d lines", step, now(), s.said, name, said)
		}
	}
	check("at first", "one", 0)
	key, _ := os.ReadFile(filepath.Join(dir, "k"))
	pair(t, dir, "two")
	fresh, _ := os.ReadFile(filepath.Join(dir, "k"))
	write(t, dir, "k", key)
	check("half renewed", "one", 1)
	if err := p.Reload(); err == nil || now() != "one" {
		t.Errorf("half renewed, by hand: %v, %s", err, now())
	}
	write(t, dir, "k", fresh)
	check("renewed", "two", 2)
	write(t, dir, "c", []byte("nonsense"))
	check("nonsense", "two", 3)
	os.Remove(filepath.Join(dir, "c"))
	check("removed", "two", 4)
	pair(t, dir, "three")
	if err := p.Reload(); err != nil || now() != "three" {
		t.Errorf("by hand: %v, %s", err, now())
	}
	check("renewed by hand", "three", 4)
	if !strings.Contains(p.Name(), "CN=three, valid until ") {
		t.Errorf("it is called %q", p.Name())
	}
}

// A change is noticed without being told.
func TestWatch(t *testing.T) {
	dir, s := t.TempDir(), new(sayer)
	pair(t, dir, "one")
	p := &Pair{cert: filepath.Join(dir, "c"), key: filepath.Join(dir, "k"), every: time.Millisecond, logf: s.say, quit: make(chan struct{})}
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	go p.watch()
	defer p.Close()
	pair(t, dir, "two")
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if c, _ := p.Get(nil); c.Leaf.Subject.CommonName == "two" {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the change is not noticed")
		}
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	pair(t, dir, "one")
	for _, tt := range [][3]string{{"no", "k", "no such file"}, {"c", "no", "no such file"}, {"k", "k", "certificate"}, {"c", "c", "key"}} {
		if _, err := Load(filepath.Join(dir, tt[0]), filepath.Join(dir, tt[1]), t.Logf); err == nil || !strings.Contains(err.Error(), tt[2]) {
			t.Errorf("%v: %v", tt, err)
		}
	}
}
