//go:build linux

package main

import (
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

func TestSeveralAddresses(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	certificate(t, d, "localhost")
	put(t, d+"/site/a b.txt", []byte("a"))
	socket := filepath.Join(d, "s")
	p := launch(t, nil, nil, "--tls-cert="+d+"/c", "--tls-key="+d+"/k", "--listen=http://127.0.0.1:0", "--listen=unix:"+socket, "--https-redirect", "--https-port=8443",
		"--security-headers", d+"/site")
	urls := regexp.MustCompile(`https?://127[^/]*`).FindAllString(p.said(), -1)
	if len(urls) != 2 {
		t.Fatalf("it says %s", p.said())
	}
	_, plainPort, _ := net.SplitHostPort(urls[1][len("http://"):])
	p.answers(t, []ask{
		{urls[0] + "/a%20b.txt", []string{"-k", "--http1.1"}, 200, "a", []string{"Strict-Transport-Security", "max-age=31536000"}},
		{urls[1] + "/a%20b.txt?x=1", nil, 301, "*", []string{"Location", "https://127.0.0.1:8443/a%20b.txt?x=1", "Strict-Transport-Security", ""}},
		{urls[1] + "/", []string{"-H", "Host: [::1]:" + plainPort}, 301, "*", []string{"Location", "https://[::1]:8443/"}},
		{urls[1] + "/", []string{"-H", "Host: evil.org/x?"}, 400, "*", nil},
		{urls[1] + "/.well-known/acme-challenge/x", nil, 404, "*", nil},
		{"https://x/a%20b.txt", []string{"-k", "--http1.1", "--unix-socket", socket}, 200, "a", nil},
	})
	p.Process.Signal(syscall.SIGTERM)
	if err := p.ended(t); err != nil {
		t.Errorf("it ends with %v: %s", err, p.said())
	}
	if _, err := http.Get(urls[1]); err == nil {
		t.Error("it listens on")
	}
}

// Whatever is given, it is one address of one kind, or is refused by a line that names it.
func FuzzAddress(f *testing.F) {
	for _, text := range []string{":8080", "http://[::1]:80", "https://unix:/run/s", "systemd", "http://systemd:web", "unix:", "x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := &serveCmd{Addr: text, TLSCert: "c"}
		list, err := s.addresses()
		if err != nil {
			if !strings.HasPrefix(err.Error(), "--addr="+text) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		switch a := list[0]; {
		case len(list) != 1, a.unix && a.systemd, a.unix && a.where == "":
			t.Errorf("%q: %+v", text, a)
		case !a.unix && !a.systemd:
			if _, _, err := net.SplitHostPort(a.where); err != nil {
				t.Errorf("%q: %+v: %v", text, a, err)
			}
		}
	})
}
