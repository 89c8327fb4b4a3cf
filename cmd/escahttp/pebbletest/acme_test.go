package pebbletest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

var program string

func TestMain(m *testing.M) {
	os.Setenv("PEBBLE_VA_NOSLEEP", "1")
	os.Setenv("PEBBLE_AUTHZREUSE", "0")
	dir, err := os.MkdirTemp("", "escahttp")
	if err != nil {
		log.Fatal(err)
	}
	program = filepath.Join(dir, "escahttp")
	build := exec.Command("go", "build", "-race", "-o", program, ".")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		log.Fatalf("%v: %s", err, out)
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

// authority is a Pebble. It answers once it has begun, as it is to know where it can ask
// back.
type authority struct {
	*httptest.Server
	front http.Handler
	begun chan struct{}
	ca    string // a file: who has signed for it
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{begun: make(chan struct{})}
	a.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-a.begun
		a.front.ServeHTTP(w, r)
	}))
	t.Cleanup(a.Close)
	a.ca = filepath.Join(t.TempDir(), "ca")
	put(t, a.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw}))
	return a
}

// begin has it answer, and look for names at these ports of this machine. The result is
// what signs the certificates.
func (a *authority) begin(t *testing.T, httpPort, tlsPort int) *x509.CertPool {
	return a.beginFor(t, 0, httpPort, tlsPort)
}

// beginFor is begin, with certificates that are valid for so long; 0: as Pebble has it.
func (a *authority) beginFor(t *testing.T, valid time.Duration, httpPort, tlsPort int) *x509.CertPool {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	names := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
		}
		w.WriteMsg(m)
	})}
	go names.ActivateAndServe()
	t.Cleanup(func() { names.Shutdown() })
	out := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	signer := ca.New(out, store, "", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: uint64(valid / time.Second)}})
	front := wfe.New(out, store, va.New(out, httpPort, tlsPort, true, pc.LocalAddr().String(), store), signer, true, false, 1, 1)
	a.front = front.Handler()
	close(a.begun)
	roots := x509.NewCertPool()
	roots.AddCert(signer.GetRootCert(0).Cert)
	return roots
}

// escahttp is one that runs.
type escahttp struct {
	*exec.Cmd
	log         string
	https, http int // ports
}

func launch(t *testing.T, args ...string) *escahttp {
	t.Helper()
	p := &escahttp{Cmd: exec.Command(program, append([]string{"--addr=127.0.0.1:0"}, args...)...), log: filepath.Join(t.TempDir(), "log")}
	f, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p.Stderr = f
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	p.says(t, "serving ")
	p.https = p.port(`https://[^/ ]*:(\d+)/`)
	p.http = p.port(`http://[^/ ]*:(\d+)/`)
	return p
}

func (p *escahttp) stop() {
	p.Process.Signal(syscall.SIGTERM)
	p.Wait()
}

func (p *escahttp) said() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

func (p *escahttp) port(pattern string) int {
	if m := regexp.MustCompile(pattern).FindStringSubmatch(p.said()); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return 0
}

// says waits until it has said one of these.
func (p *escahttp) says(t *testing.T, what ...string) {
	t.Helper()
	said := func(w string) bool { return strings.Contains(p.said(), w) }
	for end := time.Now().Add(2 * time.Minute); !slices.ContainsFunc(what, said); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not say %q, but %s", what, p.said())
		}
	}
}

// get fetches a file by TLS and returns the serial number of the certificate: see cert.
func (p *escahttp) get(t *testing.T, roots *x509.CertPool, name string) (serial string) {
	t.Helper()
	return fmt.Sprint(p.cert(t, roots, name).SerialNumber)
}

// cert fetches a file by TLS, of a name that has to have a certificate of who signs.
func (p *escahttp) cert(t *testing.T, roots *x509.CertPool, name string) *x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", fmt.Sprint("127.0.0.1:", p.https), &tls.Config{RootCAs: roots, ServerName: name})
	if err != nil {
		t.Fatalf("%s: %v; it said %s", name, err, p.said())
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /a.txt HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", name)
	if b, err := io.ReadAll(c); err != nil || !bytes.HasSuffix(b, []byte("contents")) {
		t.Errorf("%s: %q, %v", name, b, err)
	}
	return c.ConnectionState().PeerCertificates[0]
}

// has reports whether there is any certificate for name.
func (p *escahttp) has(name string) bool {
	c, err := tls.Dial("tcp", fmt.Sprint("127.0.0.1:", p.https), &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err == nil {
		c.Close()
	}
	return err == nil
}

func put(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Certificates are had by either challenge, for each name; they are on disk, and used from
// there without the authority; of one that has been spoilt there another is asked for.
func TestCertificates(t *testing.T) {
	names := []string{"a.example.org", "b.example.org"}
	for _, tt := range []struct {
		name  string
		args  []string
		ports func(p *escahttp) (http, tls int) // at which the authority looks for the names
	}{
		{"TLS-ALPN-01", []string{"--sandbox=required"}, func(p *escahttp) (int, int) { return 1, p.https }},
		// What else is asked of who comes without TLS does not stand in the way.
		{"HTTP-01", []string{"--listen=http://127.0.0.1:0", "--https-redirect", "--deny=/.well-known/** 127.0.0.1", "--rate-limit=/.well-known/** 1/h"},
			func(p *escahttp) (int, int) { return p.http, 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			site, state := t.TempDir(), filepath.Join(t.TempDir(), "state")
			put(t, site+"/a.txt", []byte("contents"))
			a := newAuthority(t)
			with := append([]string{"--acme=" + strings.Join(names, ","), "--acme-dir=" + state, "--acme-email=root@example.org"}, tt.args...)
			asking := append(with, "--acme-server="+a.URL+"/dir", "--acme-server-ca="+a.ca, site)
			p := launch(t, asking...)
			if p.has("a.example.org") {
				t.Error("there is a certificate before one was made")
			}
			httpPort, tlsPort := tt.ports(p)
			roots := a.begin(t, httpPort, tlsPort)
			serial := map[string]string{}
			for _, name := range names {
				p.says(t, "certificate for "+name+": valid until")
				serial[name] = p.get(t, roots, name)
			}
			if p.has("c.example.org") {
				t.Error("there is a certificate for a name that is none of its")
			}
			p.stop()
			for _, name := range append(names, "acme_account+key") {
				if fi, err := os.Stat(filepath.Join(state, name)); err != nil || fi.Mode().Perm() != 0o600 {
					t.Errorf("on disk: %v, %v", fi, err)
				}
			}
			p = launch(t, append(with, "--acme-server=https://127.0.0.1:1/dir", site)...) // where nobody is
			for _, name := range names {
				p.says(t, "certificate for "+name+": valid until")
				if s := p.get(t, roots, name); s != serial[name] {
					t.Errorf("%s from disk: serial number %s, want %s", name, s, serial[name])
				}
			}
			put(t, filepath.Join(state, "b.example.org"), []byte("spoilt"))
			p = launch(t, asking...)
			// It is on other ports, at which the authority looks in vain, unless it remembers
			// the name.
			p.says(t, "certificate for b.example.org cannot be had: ", "certificate for b.example.org: a new one is kept")
			p.says(t, "certificate for a.example.org: valid until")
			p.get(t, roots, "a.example.org")
		})
	}
}
