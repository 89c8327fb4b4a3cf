package pebbletest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A certificate is renewed when its time comes, while it serves: one handshake after the other is good, and
// verified, by the same process, until long after the first certificate has ended; and the new one is on disk.
func TestRenewal(t *testing.T) {
	for _, tt := range []struct {
		name  string
		args  []string
		ports func(p *escahttp) (http, tls int)
	}{
		{"TLS-ALPN-01", nil, func(p *escahttp) (int, int) { return 1, p.https }},
		{"HTTP-01", []string{"--listen=http://127.0.0.1:0", "--https-redirect"}, func(p *escahttp) (int, int) { return p.http, 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const valid, name = time.Minute, "a.example.org" // renewed when a third is left
			site, state := t.TempDir(), filepath.Join(t.TempDir(), "state")
			put(t, site+"/a.txt", []byte("contents"))
			a := newAuthority(t)
			p := launch(t, append(tt.args, "--acme="+name, "--acme-dir="+state, "--acme-server="+a.URL+"/dir", "--acme-server-ca="+a.ca, site)...)
			httpPort, tlsPort := tt.ports(p)
			roots := a.beginFor(t, valid, httpPort, tlsPort)
			p.says(t, "certificate for "+name+": valid until")
			first := p.cert(t, roots, name)
			kept := func() string {
				b, err := os.ReadFile(filepath.Join(state, name))
				if err != nil {
					t.Fatal(err)
				}
				return string(b)
			}
			before := kept()
			handshakes := map[string]int{}
			for now := first; now.NotAfter.Equal(first.NotAfter) || time.Now().Before(first.NotAfter.Add(time.Second)); time.Sleep(10 * time.Millisecond) {
				now = p.cert(t, roots, name)
				handshakes[now.SerialNumber.String()]++
			}
			if len(handshakes) < 2 || strings.Count(p.said(), "a new one is kept") != len(handshakes) || kept() == before {
				t.Errorf("handshakes by certificate: %v; it said %s", handshakes, p.said())
			}
			t.Logf("handshakes by certificate: %v", handshakes)
		})
	}
}

// Where a certificate is not renewed, the operator hears of it before it ends.
func TestRenewalThatFails(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	p := launch(t, "--acme=a.example.org", "--acme-dir="+filepath.Join(t.TempDir(), "state"), "--acme-server="+a.URL+"/dir", "--acme-server-ca="+a.ca, t.TempDir())
	a.beginFor(t, 20*time.Second, 1, p.https)
	p.says(t, "certificate for a.example.org: valid until")
	a.Close()
	p.says(t, "certificate for a.example.org: it was to be renewed and is not, and ends on ")
}
